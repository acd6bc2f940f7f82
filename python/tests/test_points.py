"""Calls on one key: the same in each place."""

import array

import pytest

import pmemkv

VALUES = {
    "text": b"value",
    "empty": b"",
    "NUL": b"\0a\0\0b\0",
    "binary": bytes(range(256)),
    "lines": b"one\r\ntwo\r\n$3\r\n",
    "large": bytes(range(256)) * (300 << 2),
}


def test_a_pair_comes_and_goes(db):
    assert not db.exists("key") and "key" not in db and len(db) == db.count_all() == 0
    assert db.put("key", "value") is None
    assert db.exists("key") and "key" in db and len(db) == db.count_all() == 1
    assert db.get("key") == b"value" and db.get_string("key") == db["key"] == "value"
    db.put("key", "another")
    assert db.get("key") == b"another" and len(db) == 1
    assert db.remove("key") is True
    assert db.remove("key") is False
    assert not db.exists("key") and not db


@pytest.mark.parametrize("name", VALUES)
def test_values_come_back_as_they_were(db, name):
    value = VALUES[name]
    db.put("key", value)
    assert db.get("key") == value
    met = []
    assert db.get("key", met.append) is None
    assert met == [value]
    assert bytes(memoryview(met[0])) == value
    db.get_all(lambda key, value: met.append((key, value)))
    assert met[1:] == [(b"key", value)]


def test_a_value_of_16_mib(db):
    value = bytes(range(256)) * (64 << 10)
    db.put("key", value)
    assert db.get("key") == value
    met = []
    db.get_all(lambda key, value: met.append(value))
    assert met == [value]
    assert len(db.get_string("key", "latin-1")) == len(value)


@pytest.mark.parametrize("key", [b"", b"\0", b"a\0b\0", b"\xff\xfe", "記".encode(), b"k" * 1000])
def test_keys_are_bytes(db, key):
    db.put(key, "it")
    db.put(key + b"x", "another")
    assert db.get(key) == b"it" and key in db
    met = []
    db.get_keys(met.append)
    assert sorted(met) == sorted([key, key + b"x"])
    assert db.remove(key) and not db.exists(key) and db.exists(key + b"x")


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda data: array.array("B", data)])
def test_bytes_like_keys_and_values(db, kind):
    db.put(kind(b"k\xff"), kind(b"v\xfe"))
    assert db.get(kind(b"k\xff")) == db.get(b"k\xff") == b"v\xfe"
    assert db.exists(kind(b"k\xff")) and kind(b"k\xff") in db
    assert db.remove(kind(b"k\xff"))


def test_str_is_utf8(db):
    db["記!"] = "to remember, 記"
    assert db.get("記!".encode()) == "to remember, 記".encode()
    assert db["記!"] == db.get_string("記!") == "to remember, 記"
    del db["記!"]
    assert "記!" not in db


def test_encodings(db):
    db.put("key", "grün".encode("latin-1"))
    assert db.get_string("key", "latin-1") == db.get_string("key", encoding="iso-8859-1") == "grün"
    with pytest.raises(UnicodeDecodeError):
        db.get_string("key")
    with pytest.raises(UnicodeDecodeError):
        db["key"]
    with pytest.raises(UnicodeDecodeError):
        db.get_string("key", "UTF-8")
    with pytest.raises(LookupError):
        db.get_string("key", "no such codec")
    assert db.get("key") == "grün".encode("latin-1")


@pytest.mark.parametrize(
    "call",
    [lambda db: db.get("key"), lambda db: db.get("key", print), lambda db: db.get_string("key")],
)
def test_a_missing_key_is_a_key_error(db, call):
    with pytest.raises(KeyError) as raised:
        call(db)
    assert isinstance(raised.value, pmemkv.NotFound) and isinstance(raised.value, pmemkv.Error)
    assert raised.value.status == 2
    assert str(raised.value) == "pmemkv: not found: no such key"


@pytest.mark.parametrize("key", ["key", b"k\xff"])
def test_a_missing_item_s_error_names_the_key(db, key):
    with pytest.raises(KeyError) as raised:
        db[key]
    assert raised.value.args == (key,)
    with pytest.raises(KeyError) as raised:
        del db[key]
    assert raised.value.args == (key,)


@pytest.mark.parametrize("wrong", [None, 1, 1.5, ["a"], object()])
def test_other_types_are_refused(db, wrong):
    for call in [
        lambda: db.put(wrong, "value"),
        lambda: db.put("key", wrong),
        lambda: db.get(wrong),
        lambda: db.exists(wrong),
        lambda: db.remove(wrong),
        lambda: db[wrong],
    ]:
        with pytest.raises(TypeError):
            call()
    assert len(db) == 0


def test_text_that_utf8_cannot_carry_is_refused(db):
    with pytest.raises(UnicodeEncodeError):
        db.put("\ud800", "value")
    with pytest.raises(UnicodeEncodeError):
        db.put("key", "\ud800")
    assert len(db) == 0


def test_a_callback_s_exception_comes_back(db):
    db.put("key", "value")
    with pytest.raises(ZeroDivisionError):
        db.get("key", lambda value: 1 // 0)
    assert db.get("key") == b"value"


def test_a_callback_of_get_may_call_the_database(db):
    db.put("key", "value")
    db.get("key", lambda value: db.put("copy", value))
    db.get("key", lambda value: db.remove("key"))
    assert db.get("copy") == b"value" and "key" not in db


def test_after_the_stop_each_call_is_an_error(db):
    db.put("key", "value")
    assert not db.stopped
    db.stop()
    db.stop()
    assert db.stopped
    for call in [
        lambda: db.put("key", "value"),
        lambda: db.get("key"),
        lambda: db.get_string("key", "latin-1"),
        lambda: db.exists("key"),
        lambda: db.remove("key"),
        lambda: db["key"],
        lambda: len(db),
        lambda: db.count_all(),
        lambda: db.count_above("key"),
        lambda: db.get_all(print),
        lambda: db.get_keys_between("a", "b", print),
        lambda: db.defrag(),
    ]:
        with pytest.raises(pmemkv.Stopped, match="the database is closed") as raised:
            call()
        # As pmemkv 1.0 has it.
        assert isinstance(raised.value, pmemkv.InvalidArgument) and raised.value.status == 4


def test_the_end_of_a_with_block_stops(db):
    with db as same:
        assert same is db
        db.put("key", "value")
    assert db.stopped
    with pytest.raises(ZeroDivisionError), db:
        raise ZeroDivisionError
