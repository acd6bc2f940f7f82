/*
** What Redis's Lua has beyond the language, and what this crate needs to reach Lua from safe Rust. The build compiles this
** file together with Lua 5.1.5 (see build/edits.rs). Scripts never see the table that redis_open leaves in the registry:
** Rust takes its functions from there.
*/

#include <math.h>
#include <stdint.h>
#include <string.h>

#define redis_lua_c
#define LUA_LIB

#include "lua.h"

#include "lauxlib.h"
#include "lobject.h"
#include "lstate.h"
#include "lualib.h"

#include "redis_lua.h"

#define NATIVE_KEY "redis_native"
#define INTERRUPT_KEY "redis_interrupt"

/* How a Rust function says whether it failed: its first result is nil, or a light userdata with one of these addresses. */
enum {
  FAIL_VALUE = 1, /* raise the second result as it is */
  FAIL_TEXT,      /* raise the second result, with the position of the caller before it */
  FAIL_ARGUMENT   /* "bad argument": the second result is the text, the third the argument's number */
};


/* readonly(table, flag): closes or opens a table. */
static int set_readonly (lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  ((Table *)lua_topointer(L, 1))->readonly = (lu_byte)lua_toboolean(L, 2);
  return 0;
}


/* is_readonly(table) */
static int is_readonly (lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_pushboolean(L, ((const Table *)lua_topointer(L, 1))->readonly);
  return 1;
}


/* Raises what a Rust function, whose results are the whole stack, says that it failed with; or does nothing. */
void redis_raise_failure (lua_State *L) {
  switch ((uintptr_t)lua_touserdata(L, 1)) {
    case FAIL_VALUE:
      lua_settop(L, 2);
      lua_error(L);
      break;
    case FAIL_TEXT:
      lua_settop(L, 2);
      luaL_where(L, 1);
      lua_insert(L, 2);
      lua_concat(L, 2);
      lua_error(L);
      break;
    case FAIL_ARGUMENT:
      luaL_argerror(L, (int)lua_tointeger(L, 3), lua_tostring(L, 2));
      break;
    default:
      break;
  }
}


/* The function that scripts call in place of a Rust function, which is its upvalue. It raises the errors, since Rust must not
** be left by a long jump. */
static int call_rust (lua_State *L) {
  int count = lua_gettop(L);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, count, LUA_MULTRET);
  redis_raise_failure(L);
  lua_remove(L, 1);
  return lua_gettop(L);
}


/* raising(function): see call_rust. */
static int raising (lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_settop(L, 1);
  lua_pushcclosure(L, call_rust, 1);
  return 1;
}


/* Adds the source and the line of the function at this level to the error table on top; or of its caller, if it is a C
** function. */
static void add_place (lua_State *L, int level) {
  lua_Debug ar;
  if (!lua_getstack(L, level, &ar)) return;
  lua_getinfo(L, "Sl", &ar);
  if (*ar.what == 'C') {
    if (!lua_getstack(L, level + 1, &ar)) return;
    lua_getinfo(L, "Sl", &ar);
  }
  lua_pushstring(L, ar.source);
  lua_setfield(L, -2, "source");
  lua_pushinteger(L, ar.currentline);
  lua_setfield(L, -2, "line");
}


/* Asks Rust whether the script must end, and raises the error if so. Rust answers with the error's text. */
void redis_interrupt (lua_State *L) {
  luaL_checkstack(L, 4, "too many nested functions");
  lua_getfield(L, LUA_REGISTRYINDEX, INTERRUPT_KEY);
  if (lua_isfunction(L, -1)) {
    lua_call(L, 0, 1);
    if (lua_isstring(L, -1)) {
      lua_createtable(L, 0, 3);
      lua_insert(L, -2);
      lua_setfield(L, -2, "err");
      add_place(L, 0);
      G(L)->must_end = 1;
      lua_error(L);
    }
  }
  lua_pop(L, 1);
}


/* Whether nothing in the script may catch the error on top: the script must end, or the error is Rust's own. */
int redis_uncatchable (lua_State *L) {
  return G(L)->must_end || lua_type(L, -1) == LUA_TUSERDATA;
}


static void count_hook (lua_State *L, lua_Debug *ar) {
  (void)ar;
  redis_interrupt(L);
}


/* Handles an error that nothing in the script caught: makes a table of it, with the source and the line of the function that
** raised it, or of its caller if that is a C function. */
static int handle_error (lua_State *L) {
  lua_settop(L, 1);
  if (!lua_istable(L, 1)) {
    switch (lua_type(L, 1)) {
      case LUA_TSTRING: case LUA_TNUMBER:
        break;
      case LUA_TNIL:
        lua_pushliteral(L, "nil");
        break;
      case LUA_TBOOLEAN:
        lua_pushstring(L, lua_toboolean(L, 1) ? "true" : "false");
        break;
      default:
        lua_pushfstring(L, "%s: %p", luaL_typename(L, 1), lua_topointer(L, 1));
    }
    lua_pushliteral(L, "ERR ");
    lua_pushvalue(L, -2);
    lua_concat(L, 2);
    lua_createtable(L, 0, 3);
    lua_insert(L, -2);
    lua_setfield(L, -2, "err");
  }
  add_place(L, 1);
  return 1;
}


/* Reads the next length from the packed arguments. */
static uint64_t take_length (const char **at) {
  uint64_t length;
  memcpy(&length, *at, sizeof(length));
  *at += sizeof(length);
  return length;
}


static void push_array (lua_State *L, const char **at, int count) {
  int i;
  lua_createtable(L, count, 0);
  for (i = 1; i <= count; i++) {
    uint64_t length = take_length(at);
    lua_pushlstring(L, *at, (size_t)length);
    *at += length;
    lua_rawseti(L, -2, i);
  }
}


static void push_field (lua_State *L, int table, const char *name) {
  lua_pushstring(L, name);
  lua_rawget(L, table);
}


/* What stands before the packed keys and arguments of a run. */
typedef struct RunHeader {
  uint64_t handle, keys, arguments, eval, interval, ending;
} RunHeader;

/* How a run ended. */
enum { ENDED_WELL, ENDED_BY_ERROR, ENDED_BY_LUA };

/* Sets a global that the run gives to its script to the value on top. */
static void set_global (lua_State *L, int name) {
  lua_pushvalue(L, lua_upvalueindex(name));
  lua_insert(L, -2);
  lua_rawset(L, LUA_GLOBALSINDEX);
}

/* run(packed): runs a script or a function. `packed` is an address in Rust's memory: of a RunHeader, the keys and the arguments, each
** with its length before it. With `eval` they become the globals KEYS and ARGV, which are the upvalues' names, otherwise the
** function's arguments. Asks Rust every `interval` instructions whether to go on, never if it is 0.
** Returns the result; or the error as handle_error has made it; or the text of an error that Lua made without asking handle_error, such
** as that no memory is left. Which of them it is stands in Rust's word with the address `ending`. */
static int run (lua_State *L) {
  const char *at = (const char *)lua_touserdata(L, 1);
  RunHeader header;
  uint64_t ending;
  int status;
  memcpy(&header, at, sizeof(header));
  at += sizeof(header);
  lua_settop(L, 0);
  lua_pushcfunction(L, handle_error);
  lua_rawgeti(L, LUA_REGISTRYINDEX, (int)header.handle);
  push_array(L, &at, (int)header.keys);
  push_array(L, &at, (int)header.arguments);
  G(L)->must_end = 0;
  if (header.interval > 0) lua_sethook(L, count_hook, LUA_MASKCOUNT, (int)header.interval);
  if (header.eval) {
    Table *globals = hvalue(gt(L));
    globals->readonly = 0;
    set_global(L, 2);
    set_global(L, 1);
    globals->readonly = 1;
  }
  status = lua_pcall(L, header.eval ? 0 : 2, 1, 1);
  lua_sethook(L, NULL, 0, 0);
  ending = ENDED_WELL;
  if (status != 0) {
    if (lua_type(L, -1) == LUA_TUSERDATA) return lua_error(L);  /* a panic or an error of Rust */
    ending = lua_istable(L, -1) ? ENDED_BY_ERROR : ENDED_BY_LUA;
  }
  *(uint64_t *)(uintptr_t)header.ending = ending;
  return 1;
}


/* keep(function): returns a handle, a number, that holds the function until release(handle). */
static int keep (lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_settop(L, 1);
  lua_pushinteger(L, luaL_ref(L, LUA_REGISTRYINDEX));
  return 1;
}

static int release (lua_State *L) {
  luaL_unref(L, LUA_REGISTRYINDEX, (int)luaL_checkinteger(L, 1));
  return 0;
}


/* load(text, chunk name): compiles; returns a handle of the function, or nil and the error. */
static int load_text (lua_State *L) {
  size_t length;
  const char *text = luaL_checklstring(L, 1, &length);
  if (luaL_loadbuffer(L, text, length, luaL_checkstring(L, 2)) == 0) {
    lua_pushinteger(L, luaL_ref(L, LUA_REGISTRYINDEX));
    return 1;
  }
  lua_pushnil(L);
  lua_insert(L, -2);
  return 2;
}


/* What a table stands for as a reply. */
enum { SHAPE_ERROR = 1, SHAPE_STATUS, SHAPE_DOUBLE, SHAPE_BIG_NUMBER, SHAPE_VERBATIM, SHAPE_MAP, SHAPE_SET, SHAPE_ARRAY };

/* Pushes the table's field; or pushes nothing and returns 0 if it has another type. */
static int field_of_type (lua_State *L, int table, const char *name, int type) {
  push_field(L, table, name);
  if (lua_type(L, -1) == type) return 1;
  lua_pop(L, 1);
  return 0;
}

/* Returns the shape with the value on top, and how many pairs that table has. */
static int pairs_of (lua_State *L, int shape) {
  int count = 0;
  int table = lua_gettop(L);
  for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) count++;
  lua_pushinteger(L, shape);
  lua_insert(L, -2);
  lua_pushinteger(L, count);
  return 3;
}

/* Arrays up to this size are packed. */
#define PACKED_BYTES_MAX ((size_t)1 << 20)

/* Counts the elements of the array up to the first nil, and how many bytes they take packed; 0 bytes if they cannot be. */
static int measure_array (lua_State *L, size_t *bytes) {
  int count, plain = 1;
  *bytes = 0;
  for (count = 0; ; count++) {
    lua_rawgeti(L, 1, count + 1);
    switch (lua_type(L, -1)) {
      case LUA_TNIL:
        lua_pop(L, 1);
        if (!plain || *bytes > PACKED_BYTES_MAX) *bytes = 0;
        return count;
      case LUA_TSTRING:
        *bytes += lua_objlen(L, -1) + 9;
        break;
      case LUA_TNUMBER: case LUA_TBOOLEAN:
        *bytes += 9;
        break;
      default:
        plain = 0;
    }
    lua_pop(L, 1);
  }
}

/* Pushes a string of the array's elements: for each one a letter for its type, a number or a length, and a string's bytes. */
static void pack_array (lua_State *L, int count, size_t bytes) {
  char *to = (char *)lua_newuserdata(L, bytes), *from = to;
  int i;
  for (i = 1; i <= count; i++) {
    uint64_t length;
    lua_Number number;
    lua_rawgeti(L, 1, i);
    switch (lua_type(L, -1)) {
      case LUA_TSTRING:
        length = lua_objlen(L, -1);
        *to++ = 's';
        memcpy(to, &length, 8);
        memcpy(to + 8, lua_tostring(L, -1), (size_t)length);
        to += 8 + length;
        break;
      case LUA_TNUMBER:
        number = lua_tonumber(L, -1);
        *to++ = 'n';
        memcpy(to, &number, 8);
        to += 8;
        break;
      default:
        length = (uint64_t)lua_toboolean(L, -1);
        *to++ = 'b';
        memcpy(to, &length, 8);
        to += 8;
    }
    lua_pop(L, 1);
  }
  lua_pushlstring(L, from, bytes);
}

/* shape(table): returns the shape and what belongs to it: a text, a number, or a table and the number of its elements. The
** elements of a plain array come packed, in place of the table. */
static int shape (lua_State *L) {
  static const struct { const char *name; int type, shape; } simple[] = {
    {"err", LUA_TSTRING, SHAPE_ERROR},
    {"ok", LUA_TSTRING, SHAPE_STATUS},
    {"double", LUA_TNUMBER, SHAPE_DOUBLE},
    {"big_number", LUA_TSTRING, SHAPE_BIG_NUMBER}
  };
  size_t i, bytes;
  int count;
  lua_settop(L, 1);
  for (i = 0; i < sizeof(simple) / sizeof(simple[0]); i++) {
    if (field_of_type(L, 1, simple[i].name, simple[i].type)) {
      lua_pushinteger(L, simple[i].shape);
      lua_insert(L, -2);
      push_field(L, 1, "ignore_error_stats_update");
      return 3;
    }
  }
  if (field_of_type(L, 1, "verbatim_string", LUA_TTABLE)) {
    if (field_of_type(L, 2, "format", LUA_TSTRING) && field_of_type(L, 2, "string", LUA_TSTRING)) {
      lua_pushinteger(L, SHAPE_VERBATIM);
      lua_replace(L, 2);
      return 3;
    }
    lua_settop(L, 1);
  }
  if (field_of_type(L, 1, "map", LUA_TTABLE)) return pairs_of(L, SHAPE_MAP);
  if (field_of_type(L, 1, "set", LUA_TTABLE)) return pairs_of(L, SHAPE_SET);
  count = measure_array(L, &bytes);
  if (bytes > 0) pack_array(L, count, bytes);
  else lua_pushvalue(L, 1);
  lua_pushinteger(L, SHAPE_ARRAY);
  lua_insert(L, -2);
  lua_pushinteger(L, count);
  return 3;
}


/* array_keys(table): returns the largest key and the number of keys if all keys are whole numbers from 1 on, otherwise -1 and
** the number of keys. */
static int array_keys (lua_State *L) {
  lua_Number largest = 0;
  int count = 0;
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
    count++;
    if (largest < 0) continue;
    if (lua_type(L, 2) == LUA_TNUMBER) {
      lua_Number key = lua_tonumber(L, 2);
      if (key >= 1 && floor(key) == key) {
        if (key > largest) largest = key;
        continue;
      }
    }
    largest = -1;
  }
  lua_pushnumber(L, largest);
  lua_pushinteger(L, count);
  return 2;
}


/* The pcall that scripts call. It returns the text of an error that is a table, as Redis's does since its errors are tables;
** and it does not catch what only Rust may handle. */
static int script_pcall (lua_State *L) {
  if (lua_gettop(L) == 0) lua_pushboolean(L, 1);  /* what Redis's then tries to call */
  if (lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0) == 0) {
    lua_pushboolean(L, 1);
    lua_insert(L, 1);
    return lua_gettop(L);
  }
  if (redis_uncatchable(L)) return lua_error(L);
  if (lua_istable(L, -1)) {
    lua_getfield(L, -1, "err");
    if (lua_isstring(L, -1)) lua_replace(L, -2);
    else lua_pop(L, 1);
  }
  lua_pushboolean(L, 0);
  lua_insert(L, -2);
  return 2;
}


/* The __index of the globals. */
static int no_such_global (lua_State *L) {
  if (lua_gettop(L) != 2) return luaL_error(L, "Wrong number of arguments to luaProtectedTableError");
  if (!lua_isstring(L, -1)) return luaL_error(L, "Second argument to luaProtectedTableError must be a string or number");
  return luaL_error(L, "Script attempted to access nonexistent global variable '%s'", lua_tostring(L, -1));
}


static const luaL_Reg functions[] = {
  {"readonly", set_readonly},
  {"is_readonly", is_readonly},
  {"raising", raising},
  {"keep", keep},
  {"release", release},
  {"load", load_text},
  {"shape", shape},
  {"caller", redis_caller},
  {"array_keys", array_keys},
  {"pcall", script_pcall},
  {"no_such_global", no_such_global},
  {NULL, NULL}
};


void redis_open (lua_State *L) {
  const luaL_Reg *entry;
  lua_newtable(L);
  for (entry = functions; entry->name; entry++) {
    lua_pushcfunction(L, entry->func);
    lua_setfield(L, -2, entry->name);
  }
  lua_pushliteral(L, "KEYS");
  lua_pushliteral(L, "ARGV");
  lua_pushcclosure(L, run, 2);
  lua_setfield(L, -2, "run");
  lua_setfield(L, LUA_REGISTRYINDEX, NATIVE_KEY);
}


/* Libraries that this Lua does not have. mlua's code names them. */
static int no_library (lua_State *L) {
  return luaL_error(L, "this library does not exist here");
}

LUALIB_API int luaopen_io (lua_State *L) { return no_library(L); }
LUALIB_API int luaopen_os (lua_State *L) { return no_library(L); }
LUALIB_API int luaopen_debug (lua_State *L) { return no_library(L); }
LUALIB_API int luaopen_package (lua_State *L) { return no_library(L); }
