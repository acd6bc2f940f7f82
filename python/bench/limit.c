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

/* A piece is so many calls, and a walk over all pairs is made so many times; see measure.py. */
#define PIECE_CALLS 250
#define WALKS 50

enum call { PUT, GET, EXISTS, REMOVE, GET_ALL, GET_KEYS };

struct bench {
	pmemkv_db *db;
	const char *keys, *value;
	char *copy;
	size_t count, value_bytes;
	double *times;
};

static void one(const struct bench *b, enum call call, size_t i)
{
	const char *key = b->keys + i * KEY_BYTES;

	switch (call) {
	case PUT:
		check(pmemkv_put(b->db, key, KEY_BYTES, b->value, b->value_bytes), "put");
		break;
	case GET:
		check(pmemkv_get(b->db, key, KEY_BYTES, take, b->copy), "get");
		break;
	case EXISTS:
		check(pmemkv_exists(b->db, key, KEY_BYTES), "exists");
		break;
	case REMOVE:
		check(pmemkv_remove(b->db, key, KEY_BYTES), "remove");
		break;
	case GET_ALL:
		check(pmemkv_get_all(b->db, visit, b->copy), "get_all");
		break;
	case GET_KEYS:
		check(pmemkv_get_all(b->db, visit_key, b->copy), "get_keys");
		break;
	}
}

static int compare(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return (a > b) - (a < b);
}

/* Prints the median of the pieces' times per call, or per pair for a walk. */
static void timed(const struct bench *b, const char *name, enum call call)
{
	int walks = call == GET_ALL || call == GET_KEYS;
	size_t pieces = 0, calls = walks ? WALKS : b->count, piece = walks ? 1 : PIECE_CALLS;

	for (size_t first = 0; first < calls; first += piece) {
		size_t end = first + piece < calls ? first + piece : calls;
		double start = now();

		for (size_t i = first; i < end; i++)
			one(b, call, i);
		b->times[pieces++] = (now() - start) / (double)(walks ? b->count : end - first);
	}
	qsort(b->times, pieces, sizeof(*b->times), compare);
	printf("\"%s\": %.1f%s", name, b->times[pieces / 2], call == REMOVE ? "}\n" : ", ");
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
	struct bench bench = {db, keys, value, copy, count, value_bytes, malloc((count + WALKS) * sizeof(double))};

	printf("{");
	timed(&bench, "put", PUT);
	timed(&bench, "overwrite", PUT);
	if (kept)
		timed(&bench, "get", GET);
	timed(&bench, "exists", EXISTS);
	if (kept) {
		timed(&bench, "get_all", GET_ALL);
		timed(&bench, "get_keys", GET_KEYS);
	}
	timed(&bench, "remove", REMOVE);
	pmemkv_close(db);
	free(keys);
	free(value);
	free(copy);
	free(bench.times);
	return 0;
}
