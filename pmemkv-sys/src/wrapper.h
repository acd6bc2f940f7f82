/* pmemobj_direct as a function: bindgen cannot call an inline one. */
#define PMEMOBJ_DIRECT_NON_INLINE 1
#include <libpmemkv.h>
#include <libpmemobj.h>
