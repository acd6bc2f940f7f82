/*
** redis.call: takes the arguments from Lua to Rust, and makes Lua's values of the encoded reply. The build compiles this file
** together with redis_lua.c.
*/

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define redis_call_c
#define LUA_LIB

#include "lua.h"

#include "lauxlib.h"
#include "llimits.h"
#include "lobject.h"
#include "lstate.h"

#include "redis_lua.h"


/* Replies nest at most this deep. No command's reply comes near. */
#define DEPTH_MAX 64

/* The rest of a reply that Rust encoded. */
typedef struct Reply {
  const char *at, *end;
} Reply;

/* Raises that the server cannot read its own reply: it has a fault. */
static int malformed (lua_State *L) {
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "ERR the server cannot read the reply of its own command");
  lua_setfield(L, -2, "err");
  return lua_error(L);
}

/* Takes a line without its line break: returns where it begins, and its length. */
static const char *take_line (lua_State *L, Reply *reply, size_t *length) {
  const char *line = reply->at;
  const char *end = (const char *)memchr(line, '\r', (size_t)(reply->end - line));
  if (end == NULL || reply->end - end < 2) malformed(L);
  *length = (size_t)(end - line);
  reply->at = end + 2;
  return line;
}

/* Numbers of this many signs fit in 64 bits. */
#define SIGNS_SAFE 18

/* Reads a whole number. */
static int64_t whole_number (lua_State *L, const char *text, size_t length) {
  uint64_t value = 0, limit = INT64_MAX;
  int negative = length > 0 && *text == '-';
  size_t i = (size_t)negative;
  if (i == length || length > 20) malformed(L);
  if (negative) limit++;
  if (length <= SIGNS_SAFE) {
    for (; i < length; i++) {
      unsigned digit = (unsigned char)text[i] - (unsigned)'0';
      if (digit > 9) malformed(L);
      value = value * 10 + digit;
    }
  }
  for (; i < length; i++) {
    unsigned digit = (unsigned char)text[i] - (unsigned)'0';
    if (digit > 9 || value > (limit - digit) / 10) malformed(L);
    value = value * 10 + digit;
  }
  return negative ? (int64_t)(0 - value) : (int64_t)value;
}

/* Reads a length; -1 is that of a null. */
static int64_t reply_length (lua_State *L, const char *text, size_t length) {
  int64_t value = whole_number(L, text, length);
  if (value < -1) malformed(L);
  return value;
}

/* Takes this many bytes and the line break behind them. */
static const char *take_bytes (lua_State *L, Reply *reply, int64_t length) {
  const char *bytes = reply->at;
  if (length < 0 || reply->end - bytes < 2 || length > reply->end - bytes - 2) malformed(L);
  reply->at = bytes + length + 2;
  return bytes;
}

/* How large to make a table for this many elements: a reply's length need not hold for more than the bytes that are there. */
static int table_size (const Reply *reply, int64_t length) {
  int64_t rest = reply->end - reply->at;
  int64_t size = length < rest ? length : rest;
  return size < MAX_INT ? (int)size : MAX_INT;
}

/* Puts the value on top into a table of its own, with this name. */
static void wrap (lua_State *L, const char *name) {
  lua_createtable(L, 0, 1);
  lua_insert(L, -2);
  lua_setfield(L, -2, name);
}

/* Pushes an error as scripts get it: with the code ERR if it has no code. The statistics have counted it already. */
static void push_error (lua_State *L, const char *text, size_t length) {
  lua_createtable(L, 0, 2);
  if (length > 0 && memchr(text, ' ', length) != NULL) lua_pushlstring(L, text, length);
  else {
    lua_pushliteral(L, "ERR ");
    lua_pushlstring(L, text, length);
    lua_concat(L, 2);
  }
  lua_setfield(L, -2, "err");
  lua_pushboolean(L, 1);
  lua_setfield(L, -2, "ignore_error_stats_update");
}

static void push_double (lua_State *L, const char *text, size_t length) {
  char number[64], *end;
  if (length == 0 || length >= sizeof(number)) malformed(L);
  memcpy(number, text, length);
  number[length] = '\0';
  lua_pushnumber(L, strtod(number, &end));
  if (*end != '\0') malformed(L);
  wrap(L, "double");
}

/* Up to this depth a reply needs no more than the LUA_MINSTACK slots that every C function has: at most two for each reply around
** it, and four for itself. */
#define DEPTH_SAFE 4

/* Pushes the reply as Lua's value. */
static void push_reply (lua_State *L, Reply *reply, int depth) {
  size_t length;
  int64_t count, i;
  const char *line = take_line(L, reply, &length), *bytes;
  if (length == 0 || depth > DEPTH_MAX) malformed(L);
  if (depth > DEPTH_SAFE) luaL_checkstack(L, 6, "too many nested replies");
  length--;
  switch (*line++) {
    case '+':
      lua_pushlstring(L, line, length);
      wrap(L, "ok");
      return;
    case '-':
      push_error(L, line, length);
      return;
    case ':':
      lua_pushnumber(L, (lua_Number)whole_number(L, line, length));
      return;
    case '$':
      count = reply_length(L, line, length);
      if (count < 0) lua_pushboolean(L, 0);
      else {
        bytes = take_bytes(L, reply, count);
        lua_pushlstring(L, bytes, (size_t)count);
      }
      return;
    case '*': case '>':
      count = reply_length(L, line, length);
      if (count < 0) {
        lua_pushboolean(L, 0);
        return;
      }
      lua_createtable(L, table_size(reply, count), 0);
      for (i = 1; i <= count; i++) {
        push_reply(L, reply, depth + 1);
        lua_rawseti(L, -2, (int)i);
      }
      return;
    case '_':
      lua_pushnil(L);
      return;
    case '#':
      lua_pushboolean(L, length == 1 && *line == 't');
      return;
    case ',':
      push_double(L, line, length);
      return;
    case '(':
      lua_pushlstring(L, line, length);
      wrap(L, "big_number");
      return;
    case '=':
      count = reply_length(L, line, length);
      bytes = take_bytes(L, reply, count);
      if (count < 4) malformed(L);
      lua_createtable(L, 0, 2);
      lua_pushlstring(L, bytes + 4, (size_t)count - 4);
      lua_setfield(L, -2, "string");
      lua_pushlstring(L, bytes, 3);
      lua_setfield(L, -2, "format");
      wrap(L, "verbatim_string");
      return;
    case '%': case '~':
      count = reply_length(L, line, length);
      if (count < 0) malformed(L);
      lua_createtable(L, 0, table_size(reply, count));
      for (i = 0; i < count; i++) {
        push_reply(L, reply, depth + 1);
        if (line[-1] == '%') push_reply(L, reply, depth + 1);
        else lua_pushboolean(L, 1);
        lua_rawset(L, -3);
      }
      wrap(L, line[-1] == '%' ? "map" : "set");
      return;
    default:
      malformed(L);
  }
}


/* The length of an argument that is a number: its double follows. */
#define LENGTH_OF_NUMBER UINT64_MAX

/* The words that both sides see: C leaves how many bytes the packed arguments take, Rust the address and the length of the reply. */
enum { WORD_PACKED, WORD_REPLY, WORD_LENGTH };

/* An upvalue of the running C function. */
#define upvalue(L, n) (&clvalue((L)->ci->func)->c.upvalue[(n) - 1])

/* Packs the arguments, all strings or numbers, each with its length before it. Returns how many bytes they take, or -1 if they
** are not of these types or have no room. It reads Lua's stack without its API, whose calls would cost more than the copies. */
static int pack_arguments (lua_State *L, char *buffer, size_t room) {
  char *to = buffer;
  const TValue *argument;
  for (argument = L->base; argument < L->top; argument++) {
    uint64_t length = LENGTH_OF_NUMBER;
    size_t size = sizeof(lua_Number);
    lua_Number number;
    const void *from = &number;
    if (ttisstring(argument)) {
      from = svalue(argument);
      length = size = tsvalue(argument)->len;
    }
    else if (ttisnumber(argument)) number = nvalue(argument);
    else return -1;
    if (room < sizeof(length) || room - sizeof(length) < size) return -1;
    room -= sizeof(length) + size;
    memcpy(to, &length, sizeof(length));
    memcpy(to + sizeof(length), from, size);
    to += sizeof(length) + size;
  }
  return (int)(to - buffer);
}

/* redis.call and redis.pcall; see redis_caller. The Rust function for packed arguments returns nothing: it leaves the encoded reply's
** address and length among the words. The other one returns nil, and does the same; or nil and a value to return as it is; or
** how it failed. The reply stays where it is until the next call. */
static int call_server (lua_State *L) {
  uint64_t *words = (uint64_t *)pvalue(upvalue(L, 3));
  int raises = !l_isfalse(upvalue(L, 6));
  int count = lua_gettop(L);
  int bytes = -1;
  Reply reply;
  if (count > 0) bytes = pack_arguments(L, (char *)pvalue(upvalue(L, 4)), (size_t)nvalue(upvalue(L, 5)));
  if (bytes >= 0) {
    words[WORD_PACKED] = (uint64_t)bytes;
    L->top = L->base;
    setobj2s(L, L->top, upvalue(L, 1));
    L->top++;
    lua_call(L, 0, 0);
  }
  else {
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_insert(L, 1);
    lua_call(L, count, 3);
    redis_raise_failure(L);
    if (!lua_isnil(L, 2)) {
      lua_settop(L, 2);
      return 1;
    }
  }
  reply.at = (const char *)(uintptr_t)words[WORD_REPLY];
  reply.end = reply.at + words[WORD_LENGTH];
  bytes = reply.at < reply.end && *reply.at == '-';
  push_reply(L, &reply, 0);
  return bytes && raises ? lua_error(L) : 1;
}

/* caller(packed, values, words, buffer, size, raises): the function redis.call or, if it does not raise errors, redis.pcall. `packed`
** and `values` are Rust's functions: the first one reads the arguments from the buffer, and the second one gets them as they
** are. The words and the buffer are Rust's and stay where they are. */
int redis_caller (lua_State *L) {
  luaL_checktype(L, 3, LUA_TLIGHTUSERDATA);
  luaL_checktype(L, 4, LUA_TLIGHTUSERDATA);
  luaL_checktype(L, 5, LUA_TNUMBER);
  lua_settop(L, 6);
  lua_pushcclosure(L, call_server, 6);
  return 1;
}
