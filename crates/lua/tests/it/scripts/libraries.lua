local t={} for k,v in pairs(cjson) do t[#t+1]=k..':'..type(v) end table.sort(t) return t
--
local t={} for k,v in pairs(cmsgpack) do t[#t+1]=k..':'..type(v) end table.sort(t) return t
--
local t={} for k,v in pairs(struct) do t[#t+1]=k..':'..type(v) end table.sort(t) return t
--
local t={} for k,v in pairs(bit) do t[#t+1]=k..':'..type(v) end table.sort(t) return t
--
return {cmsgpack._NAME,cmsgpack._VERSION,cmsgpack._COPYRIGHT,cmsgpack._DESCRIPTION,cjson._NAME,cjson._VERSION}
--
return tostring(cjson.null)
--
return cjson.null
--
return type(cjson.null)
--
cjson.x=1
--
return cjson.encode()
--
return cjson.encode(1,2)
--
return cjson.encode(1)
--
return cjson.encode(0.1)
--
return cjson.encode(1/3)
--
return cjson.encode(1e100)
--
return cjson.encode(-0.0)
--
return cjson.encode(2^53)
--
return cjson.encode(123456789012345678)
--
return cjson.encode(99999999999999)
--
return cjson.encode(100000000000000)
--
return cjson.encode(-100000000000000)
--
return cjson.encode(1/0)
--
return cjson.encode(-1/0)
--
return cjson.encode(0/0)
--
return cjson.encode({0/0})
--
return cjson.encode({[0.5]=1})
--
return cjson.encode({[1/0]=1})
--
return cjson.encode('a"b\\c/d\b\f\n\r\t\0\1\31\127\128\255')
--
return cjson.encode('')
--
return cjson.encode(true)
--
return cjson.encode(false)
--
return cjson.encode(nil)
--
return cjson.encode(cjson.null)
--
return cjson.encode(function() end)
--
return cjson.encode(coroutine.create(function() end))
--
return cjson.encode({function() end})
--
return cjson.encode({[true]=1})
--
return cjson.encode({})
--
return cjson.encode({{}})
--
return cjson.encode({1,2,3})
--
return cjson.encode({1,2,nil,4})
--
return cjson.encode({[1]=1,[3]=3})
--
return cjson.encode({[1]=1,[11]=3})
--
return cjson.encode({[10]=3})
--
return cjson.encode({[11]=3})
--
return cjson.encode({[0]=3})
--
return cjson.encode({[-1]=3})
--
return cjson.encode({[1.5]=3})
--
return cjson.encode({a=1})
--
return cjson.encode({a={b={c={1,2,{d=5}}}}})
--
return cjson.encode({1,2,a=3}):len()
--
return {cjson.encode_sparse_array()}
--
return {cjson.encode_sparse_array(true)}
--
return cjson.encode({[11]=3})
--
cjson.encode_sparse_array(true) return cjson.encode({[11]=3})
--
return {cjson.encode_sparse_array(true,3,20)}
--
cjson.encode_sparse_array(true,1,0) return cjson.encode({[2]=3})
--
cjson.encode_sparse_array(false,0) return cjson.encode({[30]=3})
--
return cjson.encode_sparse_array(1)
--
return cjson.encode_sparse_array('x')
--
return cjson.encode_sparse_array({})
--
return cjson.encode_sparse_array(true,-1)
--
return cjson.encode_sparse_array(true,1,-1)
--
return cjson.encode_sparse_array(true,1,1,1)
--
return cjson.encode_sparse_array(nil,'a')
--
return cjson.encode_max_depth()
--
return cjson.encode_max_depth(0)
--
return cjson.encode_max_depth('x')
--
return cjson.encode_max_depth(1,2)
--
cjson.encode_max_depth(2) return cjson.encode({{{}}})
--
cjson.encode_max_depth(2) return cjson.encode({{}})
--
return cjson.decode_max_depth()
--
return cjson.decode_max_depth(-5)
--
cjson.decode_max_depth(2) return cjson.decode('[[[]]]')
--
cjson.decode_max_depth(2) return cjson.decode('[[]]')
--
return cjson.encode_number_precision()
--
return cjson.encode_number_precision(15)
--
return cjson.encode_number_precision(17)
--
cjson.encode_number_precision(3) return cjson.encode({1/3,1234567,100,0.0001})
--
return cjson.encode_keep_buffer()
--
return cjson.encode_keep_buffer(false)
--
return cjson.encode_keep_buffer('x')
--
return cjson.encode_invalid_numbers()
--
return cjson.encode_invalid_numbers('null')
--
return cjson.encode_invalid_numbers('on')
--
return cjson.encode_invalid_numbers('off')
--
return cjson.encode_invalid_numbers('bad')
--
return cjson.encode_invalid_numbers({})
--
cjson.encode_invalid_numbers('null') return cjson.encode({0/0,1/0,-1/0})
--
cjson.encode_invalid_numbers(true) return cjson.encode({0/0,1/0,-1/0})
--
return cjson.decode_invalid_numbers()
--
return cjson.decode_invalid_numbers('off')
--
return cjson.decode_invalid_numbers('null')
--
cjson.decode_invalid_numbers(false) return cjson.decode('[0x10]')
--
cjson.decode_invalid_numbers(false) return cjson.decode('[01]')
--
cjson.decode_invalid_numbers(false) return cjson.decode('[-inf]')
--
cjson.decode_invalid_numbers(false) return cjson.decode('[nan]')
--
cjson.decode_invalid_numbers(false) return cjson.decode('[+1]')
--
cjson.decode_invalid_numbers(false) return cjson.decode('[-]')
--
return cjson.decode('[0x10,01,+1,1e3,1.5E-2,-0,.5]')
--
return cjson.decode('[0x10,01,+1,1e3]')
--
return cjson.decode('[0x1.8p1,0x,5]')
--
return tostring(cjson.decode('[nan]')[1])
--
return tostring(cjson.decode('[-nan]')[1])
--
return tostring(cjson.decode('[inf]')[1])
--
return tostring(cjson.decode('[-Infinity]')[1])
--
return tostring(cjson.decode('[infin]')[1])
--
return tostring(cjson.decode('1e999'))
--
return tostring(cjson.decode('1e-999'))
--
return tostring(cjson.decode('-1e999'))
--
return cjson.decode('123456789012345678901234567890')
--
return cjson.decode()
--
return cjson.decode({})
--
return cjson.decode('')
--
return cjson.decode(' ')
--
return cjson.decode('1 2')
--
return cjson.decode('{')
--
return cjson.decode('[')
--
return cjson.decode('[1')
--
return cjson.decode('[1,')
--
return cjson.decode('[1,]')
--
return cjson.decode('[,]')
--
return cjson.decode('{"a"')
--
return cjson.decode('{"a":')
--
return cjson.decode('{"a":1')
--
return cjson.decode('{"a":1,')
--
return cjson.decode('{"a":1,}')
--
return cjson.decode('{1:1}')
--
return cjson.decode('{a:1}')
--
return cjson.decode('{"a" 1}')
--
return cjson.decode('{"a":1 "b"}')
--
return cjson.decode('[1 2]')
--
return cjson.decode('tru')
--
return cjson.decode('truex')
--
return cjson.decode('True')
--
return cjson.decode('nul')
--
return cjson.decode('NULL')
--
return cjson.decode('@')
--
return cjson.decode('[1e]')
--
return cjson.decode('[1.]')
--
return cjson.decode('[1.e1]')
--
return cjson.decode('[-]')
--
return cjson.decode('[--1]')
--
return cjson.decode('[1e+]')
--
return cjson.decode('"abc')
--
return cjson.decode('"a\\')
--
return cjson.decode('"a\\q"')
--
return cjson.decode('"\\u12"')
--
return cjson.decode('"\\u0041\\u00e9\\u20ac\\ud83d\\ude00\\u0000"')
--
return cjson.decode('"\\ud83d"')
--
return cjson.decode('"\\ud83d\\u0041"')
--
return cjson.decode('"\\ude00"')
--
return cjson.decode('"\\b\\f\\n\\r\\t\\/\\\\\\""')
--
return cjson.decode('"\1\2\255"')
--
return cjson.decode('\0x')
--
return cjson.decode('"\0"')
--
return cjson.decode('"x\0"')
--
return cjson.decode('[1]\0]')
--
return cjson.decode('[true,false,null]')
--
return cjson.decode('{"a":1,"b":[1,2,{"c":null}]}')["b"]
--
return cjson.decode('{"a":1,"a":2}').a
--
return cjson.decode('{"":5}')['']
--
return cjson.decode(5)
--
return cjson.decode(string.rep('[',1001))
--
return cjson.decode(string.rep('{"a":',1001))
--
return #cjson.encode(cjson.decode(string.rep('[',1000)..string.rep(']',1000)))
--
local t={} for i=1,1001 do t={t} end return cjson.encode(t)
--
local t={} for i=1,999 do t={t} end return #cjson.encode(t)
--
local t={} t[1]=t return cjson.encode(t)
--
local c=cjson.new() c.encode_max_depth(1) return {c.encode_max_depth(), cjson.encode_max_depth(), type(c.new), c._NAME}
--
return {pcall(cjson.decode,'[')}
--
return {pcall(cjson.encode,function() end)}
--
local f=cjson.decode return f('[')
--
return struct.pack('i','x')
--
return struct.pack()
--
return struct.pack('')
--
return struct.pack({})
--
return struct.pack('z','x')
--
return struct.pack('=i',1)
--
return struct.pack('i33',1)
--
return struct.pack('i99999999999',1)
--
return struct.pack('!3i',1)
--
return struct.pack('!0i',1)
--
return struct.pack('bBhHlLTiI',1,2,3,4,5,6,7,8,9)
--
return struct.pack('>bBhHlLTiI',1,2,3,4,5,6,7,8,9)
--
return struct.pack('<i3>i3i1i2i8i16i32',-1,-2,-3,-4,-5,-6,-7)
--
return struct.pack('i0',5)
--
return struct.pack('!i1i8',1,2)
--
return struct.pack('!4 b i8 b h',1,2,3,4)
--
return struct.pack('!8 b d f x b',1,2.5,3.25,4)
--
return struct.pack('i3 i3',1,2)
--
return struct.pack('! i3 b i3',1,2,3)
--
return struct.pack('>f>d<f<d',1.1,2.2,3.3,4.4)
--
return struct.pack('c3','abcdef')
--
return struct.pack('c','abcdef')
--
return struct.pack('c0','abcdef')
--
return struct.pack('c7','abcdef')
--
return struct.pack('s','abc')
--
return struct.pack('ss','abc')
--
return struct.pack('s','a\0b')
--
return struct.pack('s',12.5)
--
return struct.pack('xxx')
--
return struct.pack('x3')
--
return struct.pack('b',300)
--
return struct.pack('b',-300)
--
return struct.pack('l',1e19)
--
return struct.pack('L',1e19)
--
return struct.pack('L',2^63)
--
return struct.pack('L',2^64)
--
return struct.pack('l',-1e19)
--
return struct.pack('L',-1)
--
return struct.pack('I',3.99)
--
return struct.pack('i',-3.99)
--
return struct.pack('i',0/0)
--
return struct.pack('i',1/0)
--
return struct.pack('i\0zz',1)
--
return struct.pack('i','12')
--
return struct.unpack()
--
return struct.unpack('i')
--
return struct.unpack('i','abc')
--
return {struct.unpack('i','abcd')}
--
return {struct.unpack('bBhHlLTiI',struct.pack('bBhHlLTiI',-1,2,-3,4,-5,6,7,-8,9))}
--
return {struct.unpack('>bBhHlLTiI',struct.pack('>bBhHlLTiI',-1,2,-3,4,-5,6,7,-8,9))}
--
return {struct.unpack('i3','\255\255\255')}
--
return {struct.unpack('I3','\255\255\255')}
--
return {struct.unpack('>i5I5','\255\255\255\1\2\255\1\2\3\4')}
--
return {struct.unpack('i9',string.rep('\255',9))}
--
return {struct.unpack('i16',string.rep('\1',16))}
--
return {struct.unpack('I32',string.rep('\1',32))}
--
return {struct.unpack('I8','\255\255\255\255\255\255\255\255')}
--
return {struct.unpack('i0','')}
--
return {struct.unpack('I0','')}
--
return {struct.unpack('s','abc\0def')}
--
return {struct.unpack('s','abc')}
--
return {struct.unpack('s','')}
--
return {struct.unpack('s','abc\0',5)}
--
return {struct.unpack('s','abc\0',6)}
--
return {struct.unpack('c3','abcdef')}
--
return {struct.unpack('c','abcdef')}
--
return {struct.unpack('bc0','\3abcdef')}
--
return {struct.unpack('bc0','\30abcdef')}
--
return {struct.unpack('bc0','\255abcdef')}
--
return {struct.unpack('c0','abc')}
--
return {struct.unpack('c1c0','3abc')}
--
return {struct.unpack('c1c0','xabc')}
--
return {struct.unpack('fc0',struct.pack('f',2.7)..'abcdef')}
--
return {struct.unpack('fc0',struct.pack('f',1e30)..'abcdef')}
--
return {struct.unpack('i','abcdefgh',3)}
--
return {struct.unpack('i','abcdefgh',0)}
--
return {struct.unpack('i','abcdefgh',-1)}
--
return {struct.unpack('i','abcdefgh',9)}
--
return {struct.unpack('','abcdefgh',9)}
--
return {struct.unpack('','abcdefgh',100)}
--
return {struct.unpack('x','abcdefgh',2)}
--
return {struct.unpack('i','abcdefgh','x')}
--
return {struct.unpack('!4 b i','abcdefgh')}
--
return {struct.unpack('!8 d','abcdefgh',2)}
--
return {struct.unpack('c2147483647','abc')}
--
return {struct.unpack('c2147483648','abc')}
--
return {struct.unpack('z','abc')}
--
return {struct.unpack('d','\0\0\0\0\0\0\240\63')}
--
return {struct.unpack(string.rep('b',100),string.rep('a',100))}
--
return select('#',struct.unpack(string.rep('b',7900),string.rep('a',7900)))
--
return select('#',struct.unpack(string.rep('b',8100),string.rep('a',8100)))
--
return struct.size()
--
return struct.size('')
--
return struct.size('bhilfd')
--
return struct.size('!bhilfd')
--
return struct.size('i3i5')
--
return struct.size('s')
--
return struct.size('c0')
--
return struct.size('c10x')
--
return struct.size('z')
--
return struct.size('=')
--
return struct.size('i40')
--
return struct.size(string.rep('c2147483647',3))
--
return bit.tobit()
--
return bit.tobit('x')
--
return bit.tobit({})
--
return bit.tobit(true)
--
return bit.tobit('12')
--
return bit.tobit(0xffffffff)
--
return bit.tobit(0xffffffff+1)
--
return bit.tobit(2^31)
--
return bit.tobit(-1)
--
return bit.tobit(1.5)
--
return bit.tobit(2.5)
--
return bit.tobit(1e15)
--
return bit.tobit(1e20)
--
return bit.tobit(0/0)
--
return bit.tobit(1/0)
--
return bit.bnot(0)
--
return bit.bnot(0x12345678)
--
return bit.band(0xff,0x0f)
--
return bit.band()
--
return bit.band(1)
--
return bit.band(1,'x')
--
return bit.band('y','x')
--
return bit.band(1,2,'x','y')
--
return bit.bor(1,2,4,8)
--
return bit.bxor(0xa5a5f0f0,0xaa55ff00)
--
return bit.lshift(1,0)
--
return bit.lshift(1,31)
--
return bit.lshift(1,32)
--
return bit.lshift(1,-1)
--
return bit.lshift(1)
--
return bit.rshift(-1,4)
--
return bit.arshift(-256,4)
--
return bit.arshift(0x80000000,31)
--
return bit.rol(0x12345678,12)
--
return bit.ror(0x12345678,12)
--
return bit.rol(1,0)
--
return bit.bswap(0x12345678)
--
return bit.tohex(0x12345678)
--
return bit.tohex(0x12345678,4)
--
return bit.tohex(0x12345678,-4)
--
return bit.tohex(0x12345678,0)
--
return bit.tohex(0x12345678,100)
--
return bit.tohex(-1,-100)
--
return bit.tohex(255,nil)
--
return bit.tohex(255,'x')
--
return bit.tohex(0xabcdef,-2147483647)
--
return cmsgpack.pack()
--
return cmsgpack.pack(1,2,3)
--
return cmsgpack.pack(nil,true,false)
--
return cmsgpack.pack(function() end)
--
return cmsgpack.pack(cjson.null)
--
return cmsgpack.pack(0,127,128,255,256,65535,65536,4294967295,4294967296,2^53,2^63,2^64)
--
return cmsgpack.pack(-1,-32,-33,-128,-129,-32768,-32769,-2147483648,-2147483649,-2^53,-2^63,-2^64)
--
return cmsgpack.pack(0.5,0.1,1/0,-1/0,1e300,-0.0)
--
return cmsgpack.pack('',string.rep('a',31),string.rep('b',32))
--
return #cmsgpack.pack(string.rep('a',255),string.rep('b',256),string.rep('c',65535),string.rep('d',65536))
--
return cmsgpack.pack({})
--
return cmsgpack.pack({1,2,3})
--
return cmsgpack.pack({1,2,nil,4})
--
return cmsgpack.pack({[1]=1,[3]=3})
--
return cmsgpack.pack({[2]=1})
--
return cmsgpack.pack({[0]=1})
--
return cmsgpack.pack({[1.5]=1})
--
return cmsgpack.pack({['1']=1})
--
return cmsgpack.pack({[true]=false})
--
return cmsgpack.pack({a={b={1,2}}})
--
local t={} for i=1,20 do t[i]=i end return cmsgpack.pack(t)
--
local t={} for i=1,70000 do t[i]=i%10 end return #cmsgpack.pack(t)
--
local t={} for i=1,70000 do t['k'..i]=i%10 end return #cmsgpack.pack(t)
--
local t={} t[1]=t return cmsgpack.pack(t)
--
local t={} t.x=t return cmsgpack.pack(t)
--
return cmsgpack.unpack()
--
return cmsgpack.unpack({})
--
return cmsgpack.unpack('')
--
return {cmsgpack.unpack('\1\2\3')}
--
return {cmsgpack.unpack('\192\194\195')}
--
return cmsgpack.unpack('\193')
--
return cmsgpack.unpack('\196\1a')
--
return cmsgpack.unpack('\199\1a')
--
return cmsgpack.unpack('\212\1a')
--
return cmsgpack.unpack('\217\1a')
--
return cmsgpack.unpack('\217\2a')
--
return cmsgpack.unpack('\217')
--
return cmsgpack.unpack('\161')
--
return cmsgpack.unpack('\219\255\255\255\255')
--
return cmsgpack.unpack('\221\255\255\255\255')
--
return cmsgpack.unpack('\223\255\255\255\255')
--
return cmsgpack.unpack('\145')
--
return cmsgpack.unpack('\129\1')
--
return cmsgpack.unpack('\129\192\1')
--
return cmsgpack.unpack('\129\203\127\248\0\0\0\0\0\0\1')
--
return {cmsgpack.unpack('\146\192\1')}
--
return {cmsgpack.unpack('\129\1\192')}
--
return {cmsgpack.unpack(cmsgpack.pack(0,127,128,255,256,65535,65536,4294967295,4294967296,2^53))}
--
return {cmsgpack.unpack(cmsgpack.pack(-1,-32,-33,-128,-129,-32768,-32769,-2147483648,-2147483649,-2^53))}
--
return tostring(cmsgpack.unpack(cmsgpack.pack(2^63)))
--
return tostring(cmsgpack.unpack('\207\255\255\255\255\255\255\255\255'))
--
return tostring(cmsgpack.unpack('\211\255\255\255\255\255\255\255\255'))
--
return tostring(cmsgpack.unpack(cmsgpack.pack(0.1)))..tostring(cmsgpack.unpack(cmsgpack.pack(0.5)))
--
return cmsgpack.unpack(cmsgpack.pack({1,{2,{a='b'}},'x'}))
--
return cmsgpack.unpack(cmsgpack.pack({a={b={c=1}}})).a.b.c
--
return {cmsgpack.unpack_one('\1\2\3')}
--
return {cmsgpack.unpack_one('\1\2\3',1)}
--
return {cmsgpack.unpack_one('\1\2\3',2)}
--
return {cmsgpack.unpack_one('\1\2\3',3)}
--
return {cmsgpack.unpack_one('\1',5)}
--
return {cmsgpack.unpack_one('\1',-1)}
--
return {cmsgpack.unpack_one('\1','x')}
--
return {cmsgpack.unpack_one()}
--
return {cmsgpack.unpack_limit('\1\2\3',2)}
--
return {cmsgpack.unpack_limit('\1\2\3',2,1)}
--
return {cmsgpack.unpack_limit('\1\2\3',0)}
--
return {cmsgpack.unpack_limit('\1\2\3',0,1)}
--
return {cmsgpack.unpack_limit('\1\2\3',10)}
--
return {cmsgpack.unpack_limit('\1\2\3',-5)}
--
return {cmsgpack.unpack_limit('\1\2\3')}
--
return {cmsgpack.unpack_limit('\1\2\3',1,2,3)}
--
return cmsgpack.unpack(string.rep('\145',9000))
--
return cmsgpack.unpack(string.rep('\145',3900))
--
return select('#',cmsgpack.unpack(string.rep('\1',7900)))
--
return select('#',cmsgpack.unpack(string.rep('\1',9000)))
--
local s=string.rep('\145',3999)..'\1' local t=cmsgpack.unpack(s) return type(t)
--
local s=string.rep('\145',3998)..'\1' local t=cmsgpack.unpack(s) return type(t)
--
local s=string.rep('\145',3997)..'\1' local t=cmsgpack.unpack(s) return type(t)
--
local s=string.rep('\129\1',3998)..'\1' local t=cmsgpack.unpack(s) return type(t)
--
local s=string.rep('\129\1',3999)..'\1' local t=cmsgpack.unpack(s) return type(t)
--
return math.random and 1
--
math.randomseed(1) return {math.random(1000),math.random(1000),math.random(10,20),tostring(math.random())}
--
math.randomseed(-1) return {math.random(1000),math.random(1000),math.random(10,20),tostring(math.random())}
--
math.randomseed(4294967296) return {math.random(1000),math.random(1000)}
--
math.randomseed(1.9) return {math.random(1000),math.random(1000)}
--
math.randomseed('12') return {math.random(1000),math.random(1000)}
--
return math.randomseed()
--
return math.randomseed('x')
--
return math.random(0)
--
return math.random(2,1)
--
return math.random(1,2,3)
--
return math.random('x')
--
math.randomseed(5) return math.random(-5,5)
--
math.randomseed(5) return math.random(-2147483648,2147483647)
--
math.randomseed(5) return math.random(1,1)
--
return {math.floor(1.5),math.ceil(1.5),math.abs(-1),math.max(1,2),math.min(1,2),math.fmod(5,3),math.mod(5,3)}
--
return tostring(math.pi)..tostring(math.huge)..math.sqrt(2)..math.sin(1)
--
return math.max()
--
return math.log(-1) ~= math.log(-1)
--
return {math.frexp(10),math.ldexp(1,3),math.modf(3.7)}
--
return string.format('%d %5.2f %s %q %x %X %o %e %g %c %i %u %%',5,1.234,'x','a"b\n\0',255,255,8,1.5,0.0001,65,3,4)
--
return string.format('%s')
--
return string.format('%d','x')
--
return string.format('%y',1)
--
return string.format('%99999d',1)
--
return string.format('%5s|%-5s|%.2s','a','b','abc')
--
return string.format('%s %s',nil,true)
--
return string.format('%s',{}):sub(1,6)
--
return string.format('%d',2^53)
--
return string.format('%d',1e300)
--
return string.format('%5.1f',1/0)
--
return {('hello'):find('l'),('hello'):find('l',1,true),('hello'):find('xyz'),('hello'):find('')}
--
return {('hello'):find('l+'),('hello'):match('(h)(e)'),('hello'):match('()ll()')}
--
return {('hello world'):gsub('o','0')}
--
return {('hello world'):gsub('(o)','<%1>',1)}
--
return {('hello'):gsub('.',{h='H',e=false})}
--
return {('hello'):gsub('.',function(c) if c=='l' then return 'L' end end)}
--
return {('abc'):gsub('','-')}
--
return ('x'):gsub('x','%2')
--
return ('x'):gsub('x',function() return {} end)
--
return ('x'):gsub('(x','y')
--
return ('x'):gsub('x)','y')
--
return ('x'):gsub('[x','y')
--
return ('x'):gsub('%','y')
--
return ('x'):gsub('%b','y')
--
return ('x'):gsub('%f','y')
--
return {('THE (quick) fox'):find('%((%a+)%)')}
--
return {('THE (quick) fox'):gsub('%f[%a]%a+','w')}
--
return ('f(a(b)c)d'):match('%b()')
--
return {('key = value'):match('^(%w+)%s*=%s*(%w+)$')}
--
local t={} for w in ('one two three'):gmatch('%a+') do t[#t+1]=w end return t
--
local t={} for k,v in ('a=1, b=2'):gmatch('(%w+)=(%w+)') do t[#t+1]=k..v end return t
--
return {('abc'):byte(1,-1)}
--
return string.char(72,101,108)
--
return string.char(256)
--
return {('abc'):sub(2),('abc'):sub(-2),('abc'):sub(2,2),('abc'):sub(5)}
--
return {('aBc'):upper(),('aBc'):lower(),('abc'):reverse(),('abc'):len()}
--
return string.gfind('a','a')
--
return {string.byte(string.rep('a',7900),1,-1)}
--
return string.byte(string.rep('a',8100),1,-1)
--
return table.concat({1,2,3},',')
--
return table.concat({1,{},3},',')
--
return table.concat({1,2,3},',',2,3)
--
return table.concat({},',',1,1)
--
local t={3,1,2} table.sort(t) return t
--
local t={3,1,2} table.sort(t,function(a,b) return a>b end) return t
--
local t={3,'x',2} table.sort(t) return t
--
local t={3,1,2,5,4,7,6} table.sort(t,function(a,b) return true end) return #t
--
local t={1,2,3} table.insert(t,4) table.insert(t,1,0) return t
--
local t={1,2,3} return {table.remove(t),table.remove(t,1),#t}
--
table.insert({},1,2,3)
--
table.insert({})
--
table.insert(nil,1)
--
return table.getn({1,2})
--
return table.maxn({[10]=1,[20.5]=2})
--
return table.setn({},1)
--
local s=0 table.foreach({1,2,3},function(k,v) s=s+v end) return s
--
local s=0 table.foreachi({1,2,3},function(k,v) s=s+v end) return s
--
return {unpack({1,2,3})}
--
local t=setmetatable({},{__tostring=function() return 'T' end}) return tostring(t)
--
local t=setmetatable({},{__call=function(self,a) return a*2 end}) return t(4)
--
local t=setmetatable({1,2},{__len=function() return 10 end}) return #t
--
local t=setmetatable({},{__eq=function() return true end}) return t==t
--
local t=setmetatable({},{__concat=function(a,b) return 'c' end}) return t..'x'
--
local t=setmetatable({},{__index=function(t,k) return k..'!' end}) return t.foo
--
local t=setmetatable({},{__newindex=function(t,k,v) rawset(t,k,v*2) end}) t.x=5 return t.x
--
local t=setmetatable({},{__unm=function() return 7 end}) return -t
--
local t=setmetatable({},{__lt=function() return true end}) return {t<t,t>t}
--
return {coroutine.status(coroutine.create(function() end)),type(coroutine.running())}
--
local c=coroutine.create(function() return 1 end) coroutine.resume(c) return {coroutine.resume(c)}
--
return coroutine.wrap(1)
--
return {pcall(coroutine.wrap(function() error('x',0) end))}
--
local c c=coroutine.create(function() return coroutine.resume(c) end) return {coroutine.resume(c)}
--
return {pcall(pcall)}
--
return pcall()
--
return xpcall(1)
--
return {xpcall(error,function(e) return 'h' end)}
--
return {pcall(string.rep)}
--
return {pcall(string.rep,'x',-1)}
--
local f=function() local x={} return x.y.z end return {pcall(f)}
--
local a,b,c=(function(...) return select('#',...),... end)(1,nil,3) return {a,b,c}
--
local t={} for i=1,3 do t[i]=function() return i end end return {t[1](),t[2](),t[3]()}
--
local x=0 for i=10,1,-3 do x=x+i end return x
--
local x=0 for i=1,0 do x=x+i end return x
--
local i=0 while true do i=i+1 if i>5 then break end end return i
--
local i=0 repeat local j=i i=i+1 until j>=3 return i
--
return #{1,2,3,nil,5}
--
return 7%3 + -7%3 + 7%-3
--
return {2^10,7/2,-7/2,1e15,2^0.5}
--
return 0x10 + 1e2
--
return 'a' < 'b', 'a' < 'B'
--
return {'a'<'b','Z'<'a','a'<'ab',''<'a','a\0b'<'a\0c'}
--
return {1==1,1=='1','a'=='a',nil==false}
--
return {not nil,not 0,1 and 2,nil or 3,false and 1}
--
return "\65\066\x"
--
--[[ long comment ]] return 5
--
return 1;
--
local a <close> = 1
--
local 1x
--
return @
--
return ~1
--
return 1 // 2
--
return 'abc
--
return "\999"
--
return 1e
--
return 3..4
--
a.b:c = 1
--
f()=1
--
local function end
--
if 1 then else elseif
--
for i in 1
--
return (1
--
return {1,2
--
return function( end
--
x = = 1
--
return --[[
