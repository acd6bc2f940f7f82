/* What Lua's edited files call of redis_lua.c. */

#ifndef redis_lua_h
#define redis_lua_h

#include "lua.h"

/* Opens what Rust needs of Lua; see redis_lua.c. */
LUAI_FUNC void redis_open (lua_State *L);

/* Asks Rust whether the script must end. `hook` is what then runs at each line, or NULL. */
LUAI_FUNC void redis_interrupt (lua_State *L, lua_Hook hook);

#endif
