#include "auth/algorithm.h"

#include <gnutls/gnutls.h>
#include <string.h>

#define NAME(literal)                                                                              \
	{                                                                                          \
		(literal), sizeof(literal) - 1                                                     \
	}

static const struct algorithm algorithms[] = {
	{NAME("EdDSA"), 64, KEY_ED25519, GNUTLS_SIGN_EDDSA_ED25519},
	{NAME("ES256"), 64, KEY_P256, GNUTLS_SIGN_ECDSA_SHA256},
	{NAME("ES384"), 96, KEY_P384, GNUTLS_SIGN_ECDSA_SHA384},
	{NAME("ES512"), 132, KEY_P521, GNUTLS_SIGN_ECDSA_SHA512},
	{NAME("RS256"), 0, KEY_RSA, GNUTLS_SIGN_RSA_SHA256},
	{NAME("RS384"), 0, KEY_RSA, GNUTLS_SIGN_RSA_SHA384},
	{NAME("RS512"), 0, KEY_RSA, GNUTLS_SIGN_RSA_SHA512},
	{NAME("PS256"), 0, KEY_RSA, GNUTLS_SIGN_RSA_PSS_SHA256},
	{NAME("PS384"), 0, KEY_RSA, GNUTLS_SIGN_RSA_PSS_SHA384},
	{NAME("PS512"), 0, KEY_RSA, GNUTLS_SIGN_RSA_PSS_SHA512},
	{NAME("HS256"), 32, KEY_SECRET, GNUTLS_MAC_SHA256},
	{NAME("HS384"), 48, KEY_SECRET, GNUTLS_MAC_SHA384},
	{NAME("HS512"), 64, KEY_SECRET, GNUTLS_MAC_SHA512},
};

#define ALGORITHM_COUNT (sizeof(algorithms) / sizeof(algorithms[0]))

const struct algorithm *
algorithm_find(struct text name)
{
	for (size_t i = 0; i < ALGORITHM_COUNT; i++) {
		if (text_equal(algorithms[i].name, name))
			return &algorithms[i];
	}
	return NULL;
}

bool
algorithm_is_in(const struct algorithm *algorithm, algorithm_set set)
{
	return (set >> (algorithm - algorithms) & 1U) != 0;
}

bool
algorithm_set_has_kind(algorithm_set set, enum key_kind kind)
{
	for (size_t i = 0; i < ALGORITHM_COUNT; i++) {
		if (algorithms[i].kind == kind && algorithm_is_in(&algorithms[i], set))
			return true;
	}
	return false;
}

bool
algorithm_set_parse(struct text names, algorithm_set *set, struct text *unknown)
{
	*set = 0;
	*unknown = (struct text){"", 0};
	while (names.size > 0) {
		const struct text name = text_cut(&names, ',');
		const struct algorithm *algorithm = algorithm_find(name);
		if (!algorithm) {
			*unknown = name;
			return false;
		}
		*set |= 1U << (algorithm - algorithms);
	}
	return *set != 0;
}
