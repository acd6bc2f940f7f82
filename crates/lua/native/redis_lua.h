/* What Lua's edited files call of redis_lua.c, and what that and redis_call.c call of each other. */

#ifndef redis_lua_h
#define redis_lua_h

#include "lua.h"

/* Opens what Rust needs of Lua; see redis_lua.c. */
LUAI_FUNC void redis_open (lua_State *L);

/* Asks Rust whether the script must end, and raises an error if so. */
LUAI_FUNC void redis_interrupt (lua_State *L);

/* Whether the error on top must not be caught by the script. */
LUAI_FUNC int redis_uncatchable (lua_State *L);

/* Raises what a Rust function, whose results are the whole stack, says that it failed with; or does nothing. */
LUAI_FUNC void redis_raise_failure (lua_State *L);

/* Makes redis.call; see redis_call.c. */
LUAI_FUNC int redis_caller (lua_State *L);

#endif
