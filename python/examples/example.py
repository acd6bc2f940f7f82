"""A first program: puts, gets, walks, removes.

python3 example.py [redis://HOST:PORT]    in this process, or on a server
"""

import sys

import pmemkv

print("Starting engine")
if len(sys.argv) > 1:
    db = pmemkv.Client(sys.argv[1])
else:
    db = pmemkv.Database("vsmap", {"path": "/dev/shm", "size": 1 << 30})

print("Putting new key")
db.put("key1", "value1")
assert db.count_all() >= 1

print("Reading key back")
assert db.get_string("key1") == "value1"
assert db.get("key1") == b"value1"

print("Iterating existing keys")
db.put("key2", "value2")
db.put("key3", "value3")
db.get_keys_strings(lambda key: print(f"  visited: {key}"))

print("Reading a value where it comes as bytes")
db.get("key2", lambda value: print(f"  value: {value.decode()}"))

print("Ranges")
print(f"  above key1: {db.count_above('key1')}, from key2 on: {db.count_equal_above('key2')}")
db.get_string_between("key1", "key3", lambda key, value: print(f"  between key1 and key3: {key} = {value}"))

print("Removing existing key")
db.remove("key1")
assert not db.exists("key1")
try:
    db.get("key1")
except KeyError as error:
    print(f"  {error}")

print("Stopping engine")
db.stop()
