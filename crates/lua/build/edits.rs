//! The edits of Lua 5.1.5's source. Each searched text must occur exactly as often as the edit says, otherwise the build
//! fails: another version of the source needs another look.

use std::error::Error;
use std::fs;
use std::path::Path;

/// One replacement in one file.
pub struct Edit {
    /// The file's name.
    file: &'static str,
    /// Why.
    why: &'static str,
    /// How often `search` occurs.
    times: usize,
    search: &'static str,
    replace: &'static str,
}

impl Edit {
    /// Whether the edit is a guard with this name: what its reason begins with.
    pub fn is_guard(&self, name: &str) -> bool {
        self.why.split(':').next() == Some(name)
    }

    /// Applies the edit to the file in `folder`.
    pub fn apply(&self, folder: &Path) -> Result<(), Box<dyn Error>> {
        let path = folder.join(self.file);
        let text = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
        let times = text.matches(self.search).count();
        if times != self.times {
            return Err(format!(
                "{}: the text to edit occurs {times} times instead of {} ({}): {:?}",
                self.file, self.times, self.why, self.search
            )
            .into());
        }
        fs::write(path, text.replace(self.search, self.replace))?;
        Ok(())
    }
}

const fn edit(
    file: &'static str,
    why: &'static str,
    search: &'static str,
    replace: &'static str,
) -> Edit {
    Edit {
        file,
        why,
        times: 1,
        search,
        replace,
    }
}

const READONLY: &str = "closed tables";
const CHUNK_NAME: &str =
    "CVE-2025-49844: the collector could free the chunk's name while the parser used it";
const UNPACK: &str = "CVE-2025-46817: the number of results overflowed";
const LONG_STRING: &str = "CVE-2025-46819: the length of a long string's delimiter overflowed";
const BINARY: &str = "binary chunks are refused, since nothing checks them";
const PATTERN: &str = "patterns must not exhaust the C stack, nor run for ever unseen";
const UNCATCHABLE: &str =
    "a script must not catch an error of Rust, which is a userdata, nor the error that ends it";
const COLLECTOR: &str = "a script must not leave another setting of the collector behind";
const STACK: &str = "two hundred nested calls must fit on a thread's stack";

/// All edits, in the order in which they are applied.
pub const EDITS: &[Edit] = &[
    edit(
        "lobject.h",
        READONLY,
        "  lu_byte lsizenode;  /* log2 of size of `node' array */\n",
        "  lu_byte lsizenode;  /* log2 of size of `node' array */\n  lu_byte readonly;\n",
    ),
    edit(
        "ltable.c",
        READONLY,
        "  t->flags = cast_byte(~0);\n",
        "  t->flags = cast_byte(~0);\n  t->readonly = 0;\n",
    ),
    edit(
        "lvm.h",
        READONLY,
        "#define tostring(L,o)",
        "#define check_writable(L,t) \\\n  { if ((t)->readonly) luaG_runerror(L, \"Attempt to modify a readonly table\"); }\n\n\
         #define tostring(L,o)",
    ),
    edit(
        "lvm.c",
        READONLY,
        "      TValue *oldval = luaH_set(L, h, key); /* do a primitive set */\n",
        "      TValue *oldval;\n      check_writable(L, h);\n      oldval = luaH_set(L, h, key);\n",
    ),
    edit(
        "lapi.c",
        READONLY,
        "  setobj2t(L, luaH_set(L, hvalue(t), L->top-2), L->top-1);\n",
        "  check_writable(L, hvalue(t));\n  setobj2t(L, luaH_set(L, hvalue(t), L->top-2), L->top-1);\n",
    ),
    edit(
        "lapi.c",
        READONLY,
        "  setobj2t(L, luaH_setnum(L, hvalue(o), n), L->top-1);\n",
        "  check_writable(L, hvalue(o));\n  setobj2t(L, luaH_setnum(L, hvalue(o), n), L->top-1);\n",
    ),
    edit(
        "lapi.c",
        READONLY,
        "      hvalue(obj)->metatable = mt;\n",
        "      check_writable(L, hvalue(obj));\n      hvalue(obj)->metatable = mt;\n",
    ),
    edit(
        "lparser.c",
        CHUNK_NAME,
        "  luaX_setinput(L, &lexstate, z, luaS_new(L, name));\n",
        "  setsvalue2s(L, L->top, luaS_new(L, name));\n  incr_top(L);\n  \
         luaX_setinput(L, &lexstate, z, rawtsvalue(L->top - 1));\n",
    ),
    edit(
        "lparser.c",
        CHUNK_NAME,
        "  lua_assert(lexstate.fs == NULL);\n  return funcstate.f;\n",
        "  lua_assert(lexstate.fs == NULL);\n  L->top--;\n  return funcstate.f;\n",
    ),
    edit(
        "lbaselib.c",
        UNPACK,
        "  n = e - i + 1;  /* number of elements */\n  if (n <= 0 || !lua_checkstack(L, n))",
        "  n = ((unsigned int)e - (unsigned int)i < 0x7ffffffeu) ? e - i + 1 : 0;\n  \
         if (n <= 0 || lua_gettop(L) + n > LUAI_MAXCSTACK || !lua_checkstack(L, n))",
    ),
    edit(
        "llex.c",
        LONG_STRING,
        "    save_and_next(ls);\n    count++;\n",
        "    save_and_next(ls);\n    if (++count > 1000000)\n      \
         luaX_lexerror(ls, \"invalid long string delimiter\", TK_STRING);\n",
    ),
    edit(
        "ldo.c",
        BINARY,
        "  int c = luaZ_lookahead(p->z);\n  luaC_checkGC(L);\n  \
         tf = ((c == LUA_SIGNATURE[0]) ? luaU_undump : luaY_parser)(L, p->z,\n                                                             \
         &p->buff, p->name);\n",
        "  luaC_checkGC(L);\n  tf = luaY_parser(L, p->z, &p->buff, p->name);\n",
    ),
    edit(
        "lbaselib.c",
        "what Rust reaches",
        "LUALIB_API int luaopen_base (lua_State *L) {\n  base_open(L);\n",
        "LUALIB_API int luaopen_base (lua_State *L) {\n  base_open(L);\n  redis_open(L);\n",
    ),
    edit(
        "lbaselib.c",
        "what Rust reaches",
        "#include \"lualib.h\"\n",
        "#include \"lualib.h\"\n#include \"redis_lua.h\"\n",
    ),
    edit(
        "ldebug.c",
        UNCATCHABLE,
        "  if (L->errfunc != 0) {  /* is there an error handling function? */\n",
        "  if (L->errfunc != 0 && !ttisuserdata(L->top - 1) && !G(L)->must_end) {\n",
    ),
    edit(
        "lbaselib.c",
        UNCATCHABLE,
        "  status = lua_pcall(L, 0, LUA_MULTRET, 1);\n",
        "  status = lua_pcall(L, 0, LUA_MULTRET, 1);\n  \
         if (status != 0 && redis_uncatchable(L)) return lua_error(L);\n",
    ),
    edit(
        "lbaselib.c",
        UNCATCHABLE,
        "    lua_xmove(co, L, 1);  /* move error message */\n",
        "    lua_xmove(co, L, 1);  /* move error message */\n    \
         if (redis_uncatchable(L)) lua_error(L);\n",
    ),
    edit(
        "lbaselib.c",
        UNCATCHABLE,
        "    lua_pushnil(L);\n    lua_insert(L, -2);  /* put before error message */\n",
        "    if (redis_uncatchable(L)) return lua_error(L);\n    \
         lua_pushnil(L);\n    lua_insert(L, -2);  /* put before error message */\n",
    ),
    edit(
        "lbaselib.c",
        COLLECTOR,
        "  int res = lua_gc(L, optsnum[o], ex);\n",
        "  int res = (optsnum[o] == LUA_GCSTOP || optsnum[o] == LUA_GCRESTART) ? 0\n          \
         : lua_gc(L, optsnum[o], ex);\n  \
         if (optsnum[o] == LUA_GCSETPAUSE || optsnum[o] == LUA_GCSETSTEPMUL)\n    lua_gc(L, optsnum[o], res);\n",
    ),
    edit(
        "luaconf.h",
        STACK,
        "#define LUAL_BUFFERSIZE\t\tBUFSIZ\n",
        "#define LUAL_BUFFERSIZE\t\t1024\n",
    ),
    edit(
        "lapi.c",
        "the thread that holds mlua's references runs no code and may hold more than a C function's slots; a function of Rust \
         that gets as many arguments as Lua can pass needs a few slots more",
        "  if (size > LUAI_MAXCSTACK || (L->top - L->base + size) > LUAI_MAXCSTACK)\n",
        "  int most = (L->ci == L->base_ci && L != G(L)->mainthread) ? 100000000 : LUAI_MAXCSTACK + 100;\n  \
         if (size > most || (L->top - L->base + size) > most)\n",
    ),
    edit(
        "lstate.h",
        PATTERN,
        "  TString *tmname[TM_N];  /* array with tag-method names */\n",
        "  TString *tmname[TM_N];  /* array with tag-method names */\n  size_t pattern_steps;\n  lu_byte must_end;\n",
    ),
    edit(
        "lstate.c",
        PATTERN,
        "  g->totalbytes = sizeof(LG);\n",
        "  g->totalbytes = sizeof(LG);\n  g->pattern_steps = 0;\n  g->must_end = 0;\n",
    ),
    edit(
        "lstrlib.c",
        PATTERN,
        "/* macro to `unsign' a character */\n",
        "#include \"lstate.h\"\n#include \"redis_lua.h\"\n\n\
         /* Counts the work of a pattern and of a search, and asks now and then whether the script must end. */\n\
         static void count_steps (lua_State *L, size_t steps) {\n  \
         if ((G(L)->pattern_steps += steps) >= 1000000) {\n    \
         G(L)->pattern_steps = 0;\n    redis_interrupt(L);\n  }\n}\n\n\
         /* How deep a pattern's items may nest. */\n#define MATCH_DEPTH_MAX 1000\n\n\
         /* macro to `unsign' a character */\n",
    ),
    edit(
        "lstrlib.c",
        PATTERN,
        "  int level;  /* total number of captures (finished or unfinished) */\n",
        "  int depth;\n  int level;  /* total number of captures (finished or unfinished) */\n",
    ),
    Edit {
        file: "lstrlib.c",
        why: PATTERN,
        times: 3,
        search: "  ms.L = L;\n",
        replace: "  ms.L = L; ms.depth = 0;\n",
    },
    edit(
        "lstrlib.c",
        PATTERN,
        "static const char *match (MatchState *ms, const char *s, const char *p) {\n",
        "static const char *match_items (MatchState *ms, const char *s, const char *p);\n\n\
         static const char *match (MatchState *ms, const char *s, const char *p) {\n  const char *res;\n  \
         if (++ms->depth > MATCH_DEPTH_MAX) luaL_error(ms->L, \"pattern too complex\");\n  \
         count_steps(ms->L, 1);\n  res = match_items(ms, s, p);\n  ms->depth--;\n  return res;\n}\n\n\
         static const char *match_items (MatchState *ms, const char *s, const char *p) {\n",
    ),
    edit(
        "lstrlib.c",
        PATTERN,
        "  /* keeps trying to match with the maximum repetitions */\n",
        "  count_steps(ms->L, (size_t)i / 8);\n  /* keeps trying to match with the maximum repetitions */\n",
    ),
    edit(
        "lstrlib.c",
        PATTERN,
        "      else if (*s == b) cont++;\n    }\n",
        "      else if (*s == b) cont++;\n    }\n    count_steps(ms->L, (size_t)(s - start) / 8);\n",
    ),
    edit(
        "lstrlib.c",
        PATTERN,
        "    int cont = 1;\n    while (++s < ms->src_end) {\n",
        "    int cont = 1;\n    const char *start = s;\n    while (++s < ms->src_end) {\n",
    ),
    edit(
        "lstrlib.c",
        PATTERN,
        "static const char *lmemfind (const char *s1, size_t l1,\n",
        "static const char *lmemfind (lua_State *L, const char *s1, size_t l1,\n",
    ),
    edit(
        "lstrlib.c",
        PATTERN,
        "      init++;   /* 1st char is already checked */\n",
        "      init++;   /* 1st char is already checked */\n      count_steps(L, l2 / 256 + 1);\n",
    ),
    edit(
        "lstrlib.c",
        PATTERN,
        "    const char *s2 = lmemfind(s+init, l1-init, p, l2);\n",
        "    const char *s2 = lmemfind(L, s+init, l1-init, p, l2);\n",
    ),
    edit(
        "lstrlib.c",
        PATTERN,
        "  while (n-- > 0)\n    luaL_addlstring(&b, s, l);\n",
        "  while (l > 0 && n-- > 0)\n    luaL_addlstring(&b, s, l);\n",
    ),
];
