/*
 * The same calls as measure.py makes, from C: what the library itself costs, which no binding can go below.
 *
 * limit ENGINE COUNT VALUE_BYTES FOLDER
 */

#include <libpmemkv.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEY_BYTES 16

static void check(int status, const char *what)
{
	if (status != PMEMKV_STATUS_OK && status != PMEMKV_STATUS_NOT_FOUND) {
		fprintf(stderr, "%s: %d: %s\n", what, status, pmemkv_errormsg());
		exit(1);
	}
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* A get copies the value, as a binding must. */
static void take(const char *value, size_t bytes, void *arg)
{
	memcpy(arg, value, bytes);
}

static int visit(const char *key, size_t key_bytes, const char *value, size_t value_bytes, void *arg)
{
	memcpy(arg, key, key_bytes);
	memcpy(arg, value, value_bytes);
	return 0;
}

static int visit_key(const char *key, size_t key_bytes, const char *value, size_t value_bytes, void *arg)
{
	(void)value;
	(void)value_bytes;
	memcpy(arg, key, key_bytes);
	return 0;
}

static void told(const char *name, double start, size_t count, int more)
{
	printf("\"%s\": %.1f%s", name, (now() - start) / (double)count, more ? ", " : "}\n");
}

int main(int argc, char **argv)
{
	if (argc != 5)
		return 2;
	const char *engine = argv[1], *folder = argv[4];
	size_t count = strtoul(argv[2], NULL, 10), value_bytes = strtoul(argv[3], NULL, 10);
	size_t pool_bytes = ((size_t)64 << 20) + count * (value_bytes + 1024);
	int kept = strcmp(engine, "blackhole") != 0;
	int in_memory = strcmp(engine, "vcmap") == 0 || strcmp(engine, "vsmap") == 0;
	char path[4096];
	pmemkv_config *config = pmemkv_config_new();
	pmemkv_db *db = NULL;

	if (kept) {
		snprintf(path, sizeof(path), in_memory ? "%s" : "%s/pool", folder);
		check(pmemkv_config_put_string(config, "path", path), "path");
		check(pmemkv_config_put_uint64(config, "size", pool_bytes), "size");
		if (!in_memory)
			check(pmemkv_config_put_uint64(config, "force_create", 1), "force_create");
	}
	check(pmemkv_open(engine, config, &db), "open");

	char *keys = malloc(count * KEY_BYTES + 1), *value = malloc(value_bytes), *copy = malloc(value_bytes + KEY_BYTES);
	for (size_t i = 0; i < count; i++)
		snprintf(keys + i * KEY_BYTES, KEY_BYTES + 1, "%016u", (unsigned)i);
	memset(value, 'A', value_bytes);

	double start;
	printf("{");
	for (int pass = 0; pass < 2; pass++) {
		start = now();
		for (size_t i = 0; i < count; i++)
			check(pmemkv_put(db, keys + i * KEY_BYTES, KEY_BYTES, value, value_bytes), "put");
		told(pass == 0 ? "put" : "overwrite", start, count, 1);
	}
	if (kept) {
		start = now();
		for (size_t i = 0; i < count; i++)
			check(pmemkv_get(db, keys + i * KEY_BYTES, KEY_BYTES, take, copy), "get");
		told("get", start, count, 1);
	}
	start = now();
	for (size_t i = 0; i < count; i++)
		check(pmemkv_exists(db, keys + i * KEY_BYTES, KEY_BYTES), "exists");
	told("exists", start, count, 1);
	if (kept) {
		start = now();
		check(pmemkv_get_all(db, visit, copy), "get_all");
		told("get_all", start, count, 1);
		start = now();
		check(pmemkv_get_all(db, visit_key, copy), "get_keys");
		told("get_keys", start, count, 1);
	}
	start = now();
	for (size_t i = 0; i < count; i++)
		check(pmemkv_remove(db, keys + i * KEY_BYTES, KEY_BYTES), "remove");
	told("remove", start, count, 0);
	pmemkv_close(db);
	free(keys);
	free(value);
	free(copy);
	return 0;
}
