/* dlopen_count MODULE N: loads and unloads a PAM module N times, as a long-lived
 * host does, and prints a snapshot before and after and the slowest and mean time
 * of a round. The symbols that libpam looks for are looked up each time. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>

#include "json.h"

static long now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000L + t.tv_nsec / 1000;
}

static void once(const char *module)
{
	void *so = dlopen(module, RTLD_NOW);

	if (!so || !dlsym(so, "pam_sm_open_session") || !dlsym(so, "pam_sm_close_session")) {
		fprintf(stderr, "%s: %s\n", module, dlerror());
		exit(1);
	}
	dlclose(so);
}

int main(int argc, char **argv)
{
	long slowest = 0, start, total;
	int rounds;

	if (argc != 3)
		return 2;
	rounds = atoi(argv[2]);
	snapshot("snapshot:before");
	once(argv[1]);
	snapshot("snapshot:loaded");
	start = now_us();
	for (int i = 1; i < rounds; i++) {
		long began = now_us(), took;

		once(argv[1]);
		took = now_us() - began;
		if (took > slowest)
			slowest = took;
	}
	total = now_us() - start;
	snapshot("snapshot:after");
	json_open("rounds");
	json_int("RC", rounds);
	json_key("Text");
	fprintf(line, "\"mean %ld us, slowest %ld us\"", rounds > 1 ? total / (rounds - 1) : 0, slowest);
	json_close();
	return 0;
}
