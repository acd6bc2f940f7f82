return 1
--
return KEYS
--
return ARGV
--
return {KEYS[1],ARGV[2],#KEYS,#ARGV}
--
error({err='x'})
--
error({err='ERR x'})
--
error('boo')
--
error('boo',0)
--
error('boo',2)
--
error()
--
error(12)
--
error(true)
--
error({err='a\r\nb\r\n'})
--
return {err='FOO bar'}
--
return {err=1}
--
return {{err='FOO bar'},{ok='fine'},{err='a\nb'}}
--
return redis.error_reply('FOO bar')
--
return redis.error_reply('FOObar')
--
return redis.error_reply('-FOO bar')
--
return redis.error_reply('FOO bar\r\n')
--
return redis.error_reply('')
--
return redis.error_reply('-')
--
return redis.error_reply(1)
--
return redis.error_reply()
--
return redis.error_reply('a','b')
--
return redis.error_reply('a b c')
--
return redis.status_reply('x')
--
return redis.status_reply('x','y')
--
return redis.status_reply('a\nb')
--
return {ok='a\0b'}
--
return redis.call('nosuch')
--
return redis.pcall('nosuch')
--
return redis.call('incr')
--
return redis.call('incr','k')
--
return redis.call('echo',0.5)
--
return redis.call('echo',100)
--
return redis.call('echo',1e15)
--
return redis.call('echo',-1.5)
--
return redis.call('echo',2^53)
--
return redis.call('echo','a\0b\r\n')
--
return redis.call('ping')
--
return redis.call('ping').ok
--
return redis.call('set','s','x')
--
return redis.call('get','s')
--
return redis.call('get','none')
--
return type(redis.call('get','none'))
--
redis.setresp(3) return type(redis.call('get','none'))
--
return redis.call('mget','s','none','s')
--
redis.setresp(3) return redis.call('mget','s','none','s')
--
redis.call('set','s','x') return redis.call('incr','s')
--
redis.call('set','s','x') return redis.pcall('incr','s')
--
redis.call('set','s','x') return redis.pcall('incr','s').err
--
local ok, e = pcall(redis.call,'incr') return {tostring(ok), type(e), e}
--
return {pcall(redis.call,'incr')}
--
return {pcall(error,{err='E x',a=1})}
--
local ok,e=pcall(error,{a=1}) return {tostring(ok),type(e),e.a}
--
return tostring(redis.pcall('nosuch').ignore_error_stats_update)
--
local t=redis.pcall('nosuch') local r={} for k,v in pairs(t) do r[#r+1]=k..'='..tostring(v) end table.sort(r) return r
--
x=
--
return redis.call({})
--
return redis.call()
--
return redis.pcall()
--
return redis.pcall({})
--
return redis.call('echo',true)
--
return redis.call('echo',nil)
--
x=1
--
function f() end
--
return x
--
return _G.x
--
return rawget(_G,'x')
--
local a; a.b=1
--
local a={} a.b.c=1
--
return redis.foo
--
return math.foo
--
redis.foo=1
--
math.x=1
--
string.x=1
--
rawset(_G,'x',1)
--
rawset(math,'x',1)
--
setmetatable(_G,{})
--
setmetatable(math,{})
--
table.insert(_G,1)
--
table.insert(math,1)
--
table.sort(_G)
--
getmetatable(_G).__index=nil
--
getmetatable('').x=1
--
getmetatable('').__index=nil
--
getmetatable('').__index.x=1
--
return getmetatable('').__index==string
--
KEYS={}
--
KEYS[1]='z' return KEYS
--
return tostring(print)
--
return tostring(dofile)
--
return tostring(loadfile)
--
return tostring(getfenv)
--
return tostring(setfenv)
--
return tostring(newproxy)
--
return tostring(require)
--
return tostring(module)
--
return tostring(package)
--
return tostring(io)
--
return tostring(debug)
--
return tostring(os)
--
local t={} for k,v in pairs(_G) do if k~='__redis__err__handler' then t[#t+1]=k..':'..type(v) end end table.sort(t) return t
--
local t={} for k,v in pairs(redis) do t[#t+1]=k..':'..type(v) end table.sort(t) return t
--
local t={} for k,v in pairs(string) do t[#t+1]=k..':'..type(v) end table.sort(t) return t
--
local t={} for k,v in pairs(table) do t[#t+1]=k..':'..type(v) end table.sort(t) return t
--
local t={} for k,v in pairs(math) do t[#t+1]=k..':'..type(v) end table.sort(t) return t
--
local t={} for k,v in pairs(coroutine) do t[#t+1]=k..':'..type(v) end table.sort(t) return t
--
return _VERSION
--
string.rep()
--
local f=string.rep; f()
--
return string.rep('x',3)
--
return ('x'):rep(0)
--
return redis.sha1hex()
--
return redis.sha1hex('')
--
return redis.sha1hex('foo')
--
return redis.sha1hex(12)
--
return redis.sha1hex(nil)
--
return redis.sha1hex({})
--
return redis.log(1)
--
return redis.log('a',1)
--
return redis.log(9,1)
--
return redis.log(redis.LOG_DEBUG,'x','y',1,nil,2)
--
return {redis.LOG_DEBUG,redis.LOG_VERBOSE,redis.LOG_NOTICE,redis.LOG_WARNING}
--
return {redis.REPL_ALL,redis.REPL_AOF,redis.REPL_SLAVE,redis.REPL_REPLICA,redis.REPL_NONE}
--
return redis.setresp()
--
return redis.setresp(4)
--
return redis.setresp('a')
--
return redis.setresp(3)
--
return redis.set_repl(9)
--
return redis.set_repl()
--
return redis.set_repl(redis.REPL_NONE)
--
return redis.acl_check_cmd('nosuch')
--
return redis.acl_check_cmd()
--
return redis.acl_check_cmd('get','x')
--
return redis.replicate_commands()
--
return redis.breakpoint()
--
return redis.debug('x')
--
coroutine.wrap(function() error('in co') end)()
--
coroutine.wrap(function() error({err='in co'}) end)()
--
local c=coroutine.create(function() redis.call('nosuch') end) local ok,e=coroutine.resume(c) return {tostring(ok),e.err}
--
local c=coroutine.wrap(function(a) local b=coroutine.yield(a+1) return b*2 end) return {c(1),c(10)}
--
coroutine.yield(1)
--
local function f() error('lvl2',2) end f()
--
return pcall(function() error() end)
--
return {pcall(function() error('x') end)}
--
return {xpcall(function() error('x') end, function(e) return 'handled '..e end)}
--
return {xpcall(function() return redis.call('nosuch') end, function(e) return e.err end)}
--
return 3.99
--
return -3.99
--
return 1e300
--
return -1e300
--
return 0/0
--
return 1/0
--
return 2^53
--
return 2^62
--
return true
--
return false
--
return nil
--
return
--
redis.setresp(3) return true
--
redis.setresp(3) return false
--
redis.setresp(3) return {true,false,nil,1}
--
return {1,nil,3}
--
return {true,false,1}
--
return {}
--
return {{},{{}}}
--
return {a=1}
--
return {1,2,a=3}
--
return {ok='fine'}
--
return {ok=1}
--
return {double=3}
--
return {double=-0.0}
--
return {double=1/0}
--
return {double=-1/0}
--
return {double='x'}
--
return {big_number='123\n4'}
--
return {big_number=1}
--
return {map={a=1}}
--
return {map={}}
--
return {map={[1]={map={x='y'}}}}
--
return {set={a=true}}
--
return {set={}}
--
return {set=1}
--
return {verbatim_string={format='txt',string='hi'}}
--
return {verbatim_string={format='t',string='hi'}}
--
return {verbatim_string={format='text',string=''}}
--
return {verbatim_string={format=1,string='hi'}}
--
return {verbatim_string='x'}
--
return function() end
--
return load
--
return coroutine.create(function() end)
--
return loadstring('return 1+1')()
--
local r={loadstring('\27Lua')} return {tostring(r[1]),r[2]}
--
local r={loadstring('x=')} return {tostring(r[1]),r[2]}
--
local r={loadstring('x=','@name')} return {tostring(r[1]),r[2]}
--
local r={loadstring('x=','=name')} return {tostring(r[1]),r[2]}
--
local r={load(function() return nil end)} return type(r[1])
--
local i=0 local f=load(function() i=i+1 return ({'return ','1','+2'})[i] end) return f()
--
local r={load(function() error('in reader') end)} return {tostring(r[1]),r[2]}
--
local r={load(function() return {} end)} return {tostring(r[1]),r[2]}
--
loadstring('x=1')()
--
return {loadstring('return ...')(1,2)}
--
return select('#',...)
--
return string.dump(loadstring('return 1')):sub(1,4)
--
return #arg
--
local t={1} for i=1,50 do t={t} end return t
--
local t={1} for i=1,7990 do t={t} end return t
--
local t={1} for i=1,7991 do t={t} end return t
--
local t={1} for i=1,7992 do t={t} end return t
--
local t={1} for i=1,7993 do t={t} end return t
--
local t={1} for i=1,7994 do t={t} end return t
--
local t={1} for i=1,7995 do t={t} end return t
--
local t={1} for i=1,8100 do t={t} end return t
--
local t={1} for i=1,2000 do t={map={x=t}} end return t
--
local t={1} for i=1,1996 do t={map={x=t}} end return t
--
local t={1} for i=1,1997 do t={map={x=t}} end return t
--
local t={1} for i=1,1998 do t={map={x=t}} end return t
--
local t={1} for i=1,1999 do t={map={x=t}} end return t
--
local function f() return f() end return 1
--
local function f() return 1+f() end return f()
--
local t=setmetatable({},{__index=function(t,k) return t[k+1] end}) return t[1]
--
local s='a' return s.x.y
--
return #nil
--
return nil..'x'
--
return {}..'x'
--
return {}<{}
--
return 1<'x'
--
return {}+1
--
return 'a'+1
--
return '10'+5
--
return -{}
--
local x = 5 x()
--
redis.nosuch()
--
string.nosuch()
--
for i=1,'x' do end
--
for i='x',1 do end
--
for k in 5 do end
--
goto x
--
return return
--
local x <const> = 1
--
if x then
--
return 'unfinished
--
return [[x
--
return 0x
--
return 1..2
--
return "\300"
--
break
--
return ... == nil
--
function x() return ... end
--
local a = {1,2,3} return unpack(a)
--
return {unpack({1,2,3},2)}
--
return {unpack({1,2,3},-1,1)}
--
return unpack({},1,1e6)
--
return unpack({},0,2147483647)
--
return unpack({},-2147483648,2147483647)
--
return {unpack({},1,7000)}
--
return {unpack({},1,7990)}
--
return {unpack({},1,8000)}
--
local a = {} for i = 1, 7998 do a[i] = i end return {redis.call('del', unpack(a)), #redis.call('mget', unpack(a))}
--
local a = {} for i = 1, 7999 do a[i] = ('x'):rep(20) end return redis.call('del', unpack(a))
--
local a = {} for i = 1, 7999 do a[i] = i end return redis.pcall('del', 'k', unpack(a))
--
local a = {} for i = 1, 8000 do a[i] = i end return redis.pcall('del', unpack(a))
--
return tostring(nil)..tostring(true)..tostring(1.5)..tostring(1e20)..tostring(-0)..tostring(1/0)
--
return {tonumber('0x10'),tonumber('10',2),tonumber('zz',36),tonumber(' 5 ')}
--
return {tonumber('abc'),tonumber(''),tonumber({})}
--
return tonumber('8',8)
--
return tonumber('1',1)
--
return tonumber()
--
return {type(1),type('x'),type({}),type(nil),type(print)}
--
return type()
--
return {next({})}
--
return {next({10})}
--
return next({},1)
--
return next(1)
--
return pairs()
--
return ipairs()
--
return select(2,'a','b','c')
--
return {select(-1,'a','b')}
--
return select(0)
--
return rawequal(1,1)
--
return rawget({5},1)
--
return rawset({},1)
--
return assert(false)
--
return assert(nil,'msg')
--
return assert(false,{1})
--
return {assert(1,2,3)}
--
return setmetatable(1,{})
--
return setmetatable({},1)
--
return setmetatable(setmetatable({},{__metatable=1}),{})
--
return getmetatable(setmetatable({},{__metatable='p'}))
--
return collectgarbage('count')>0
--
return collectgarbage('nosuch')
--
return collectgarbage('step')~=nil
--
return gcinfo()>0
