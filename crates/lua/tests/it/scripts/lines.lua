return 'a\
b'
--
return [==[
x]]y]==]
--
-- comment
--[[ long comment ]] return 5
--
--[==[ long
comment ]==] return 6
--



error('line 4')
--
local x=1
local y=2
return x.y.z
--
local function f()
  error({err='MY err'})
end

f()
--
local function f()
  return redis.call('nosuch')
end
local x = f()
return x
--
#!lua
return 1
--
#!lua flags=no-writes
return 1
--
#!lua flags=
return 1
--
#!lua flags=foo
return 1
--
#!lua flags=no-writes,allow-oom  flags=allow-stale
x=1
--
#!lua	flags=no-writes
return 1
--
#!lua flags=no-writes,
return 1
--
#!lua flags=,
return 1
--
#!lua name=x
return 1
--
#!python
return 1
--
#! lua
return 1
--
#!
return 1
--
#!LUA
return 1
--
#!lua 'flags=no-writes'
return 1
--
#!lua "flags=no-writes
return 1
--
#!lua
--
#
--
#!lua flags=no-writes

x=1
--
local t = {}
for i = 1, 10 do
  t[i] = i * i
end
return t
