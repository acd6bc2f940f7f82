"""Walks and counts: the same in each place."""

import inspect

import pytest

import pmemkv

PAIRS = {"A": "1", "AB": "2", "AC": "3", "B": "4", "BB": "5", "BC": "6"}
KEYS = list(PAIRS)

#: The shape of a range, its bounds, and the keys that lie in it.
RANGES = [
    ("above", ("B",), ["BB", "BC"]),
    ("above", ("",), KEYS),
    ("above", ("BA",), ["BB", "BC"]),
    ("above", ("Z",), []),
    ("equal_above", ("B",), ["B", "BB", "BC"]),
    ("equal_above", ("BA",), ["BB", "BC"]),
    ("below", ("B",), ["A", "AB", "AC"]),
    ("below", ("A",), []),
    ("below", ("\uffff",), KEYS),
    ("equal_below", ("B",), ["A", "AB", "AC", "B"]),
    ("equal_below", ("A",), ["A"]),
    ("between", ("A", "B"), ["AB", "AC"]),
    ("between", ("", "ZZ"), KEYS),
    ("between", ("A", "A"), []),
    ("between", ("B", "A"), []),
    ("between", ("", ""), []),
]


def filled(db):
    for key, value in PAIRS.items():
        db.put(key, value)
    return db


def test_all(db):
    filled(db)
    keys, pairs, key_strings, strings, more = [], [], [], [], []
    assert db.get_keys(keys.append) is None
    db.get_all(lambda *pair: pairs.append(pair))
    db.get_keys_strings(key_strings.append)
    db.get_all_string(lambda *pair: strings.append(pair))
    db.get_all_strings(lambda *pair: more.append(pair))
    assert sorted(keys) == [key.encode() for key in KEYS]
    assert sorted(pairs) == [(key.encode(), value.encode()) for key, value in PAIRS.items()]
    assert sorted(key_strings) == KEYS
    assert sorted(strings) == sorted(more) == list(PAIRS.items())
    assert db.count_all() == len(PAIRS)


def test_all_of_nothing(db):
    db.get_all(lambda key, value: pytest.fail("there is nothing"))
    db.get_keys(lambda key: pytest.fail("there is nothing"))


@pytest.mark.parametrize("shape, bounds, wanted", RANGES)
def test_ranges(ordered, shape, bounds, wanted):
    db = filled(ordered)
    for given in (bounds, tuple(bound.encode() for bound in bounds)):
        keys, pairs, key_strings, strings = [], [], [], []
        getattr(db, f"get_keys_{shape}")(*given, keys.append)
        getattr(db, f"get_{shape}")(*given, lambda *pair: pairs.append(pair))
        getattr(db, f"get_keys_strings_{shape}")(*given, key_strings.append)
        getattr(db, f"get_string_{shape}")(*given, lambda *pair: strings.append(pair))
        assert keys == [key.encode() for key in wanted]
        assert pairs == [(key.encode(), PAIRS[key].encode()) for key in wanted]
        assert key_strings == wanted
        assert strings == [(key, PAIRS[key]) for key in wanted]
        assert getattr(db, f"count_{shape}")(*given) == len(wanted)


@pytest.mark.parametrize("engine", ["cmap", "vcmap"])
def test_an_unsorted_engine_has_no_ranges(engine, folder):
    from conftest import config

    with pmemkv.Database(engine, config(engine, folder)) as db:
        filled(db)
        for call in [
            lambda: db.get_above("A", print),
            lambda: db.get_keys_equal_below("A", print),
            lambda: db.get_string_between("A", "B", print),
            lambda: db.count_equal_above("A"),
        ]:
            with pytest.raises(pmemkv.NotSupported) as raised:
                call()
            assert raised.value.status == 3
        assert db.count_all() == len(PAIRS)


def test_strings_in_another_encoding(db):
    db.put("grün".encode("latin-1"), "weiß".encode("latin-1"))
    met = []
    db.get_keys_strings(met.append, "latin-1")
    db.get_all_string(lambda *pair: met.append(pair), encoding="latin-1")
    assert met == ["grün", ("grün", "weiß")]
    with pytest.raises(UnicodeDecodeError):
        db.get_keys_strings(met.append)
    with pytest.raises(UnicodeDecodeError):
        db.get_all_strings(lambda key, value: None)
    assert len(met) == 2


def test_many_pairs(db):
    wanted = {b"%06d" % number: b"v" * (number % 50) for number in range(3000)}
    for key, value in wanted.items():
        db.put(key, value)
    pairs, keys = {}, []
    db.get_all(lambda key, value: pairs.update({key: value}))
    db.get_keys(keys.append)
    assert pairs == wanted and sorted(keys) == sorted(wanted)


def test_ranges_of_many_pairs(ordered):
    db = ordered
    keys = [b"%06d" % number for number in range(3000)]
    for key in keys:
        db.put(key, b"v")
    for shape, bounds, wanted in [
        ("above", (keys[99],), keys[100:]),
        ("equal_above", (keys[99],), keys[99:]),
        ("below", (keys[2500],), keys[:2500]),
        ("equal_below", (keys[2500],), keys[:2501]),
        ("between", (keys[99], keys[2500]), keys[100:2500]),
    ]:
        met = []
        getattr(db, f"get_keys_{shape}")(*bounds, met.append)
        assert met == wanted
        assert getattr(db, f"count_{shape}")(*bounds) == len(wanted)


def test_what_a_callback_raises_ends_the_walk(db):
    filled(db)
    for walk in (db.get_keys, db.get_all, db.get_keys_strings, db.get_all_string):
        met = []

        def raising(*items):
            met.append(items)
            if len(met) == 3:
                raise ZeroDivisionError("in the callback")

        with pytest.raises(ZeroDivisionError, match="in the callback"):
            walk(raising)
        assert len(met) == 3
    db.put("after", "it")
    assert db.count_all() == len(PAIRS) + 1


def test_what_a_callback_returns_is_ignored(db):
    # As pmemkv 1.0: there `lambda key: print(key) or True` meets all keys.
    filled(db)
    for walk in (db.get_keys, db.get_all, db.get_keys_strings, db.get_all_string):
        met = []
        walk(lambda *items: met.append(items) or True)
        assert len(met) == len(PAIRS)


def test_a_callback_with_the_wrong_arguments(db):
    filled(db)
    with pytest.raises(TypeError):
        db.get_all(lambda key: None)
    with pytest.raises(TypeError):
        db.get_keys("no function")
    with pytest.raises(TypeError):
        db.get_all()


def test_a_callback_may_read_a_tree(ordered):
    db = filled(ordered)
    met = []
    db.get_keys(lambda key: met.append((key.decode(), db.get_string(key))))
    assert met == list(PAIRS.items())
    nested = []
    db.get_keys_below("B", lambda key: db.get_keys_above("B", lambda other: nested.append((key, other))))
    assert len(nested) == 6
    db.get_keys(lambda key: nested.append(db.count_above(key)))
    assert nested[6:] == [5, 4, 3, 2, 1, 0]


@pytest.mark.parametrize("engine", ["cmap", "vcmap", "stree", "vsmap"])
def test_a_callback_cannot_change_what_it_walks(engine, folder):
    from conftest import config

    with pmemkv.Database(engine, config(engine, folder)) as db:
        filled(db)
        for call in [lambda: db.put("new", "x"), lambda: db.remove("A"), db.stop]:
            with pytest.raises(pmemkv.Reentrant, match="called back into the database"):
                db.get_keys(lambda key: call())
        assert db.count_all() == len(PAIRS)
        if engine in ("cmap", "vcmap"):
            # A read of a hash table may move what the walk is going to meet.
            with pytest.raises(pmemkv.Reentrant):
                db.get_keys(db.get)


def test_no_method_is_missing_and_signatures_agree():
    shapes = ["above", "equal_above", "below", "equal_below", "between"]
    names = {"put", "get", "get_string", "remove", "exists", "stop", "defrag", "count_all"}
    names |= {"get_keys", "get_keys_strings", "get_all", "get_all_string", "get_all_strings"}
    for shape in shapes:
        names |= {f"get_{shape}", f"get_string_{shape}", f"count_{shape}"}
        names |= {f"get_keys_{shape}", f"get_keys_strings_{shape}"}
    for name in names:
        local, remote = getattr(pmemkv.Database, name), getattr(pmemkv.Client, name)
        assert list(inspect.signature(local).parameters) == list(inspect.signature(remote).parameters), name
        assert local.__doc__ and remote.__doc__, name
    public = {name for name in dir(pmemkv.Database) if not name.startswith("_")}
    assert public == {name for name in dir(pmemkv.Client) if not name.startswith("_")} == names | {"stopped"}
