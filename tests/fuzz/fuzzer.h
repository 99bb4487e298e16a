/*
 * fuzzer: what each file here defines: libFuzzer calls it with bytes of its own choice, replay.c with
 * those of tests/fuzz/corpus. What must not be aborts.
 *
 *     api_route.c    what a request's first line and headers ask for
 *     api_wire.c     the body of a sync
 *     config_file.c  the configuration file
 */
#ifndef FUZZ_FUZZER_H
#define FUZZ_FUZZER_H

#include <stddef.h>
#include <stdint.h>

/* Always 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
