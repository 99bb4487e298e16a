/*
 * sanitizer: whether one is there, and what a long test then does less of: everything takes several
 * times as long, and with ThreadSanitizer's shadow memory a fork takes seconds.
 */
#ifndef SUPPORT_SANITIZER_H
#define SUPPORT_SANITIZER_H

#if defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#define BY_SANITIZER(none, address, thread) (thread)
#elif defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#define BY_SANITIZER(none, address, thread) (address)
#else
#define SANITIZED 0
#define BY_SANITIZER(none, address, thread) (none)
#endif

#endif
