#include "options.h"

struct api_limits
api_limits_of(const struct config *config)
{
	return (struct api_limits){
		.payload_bytes = config->limits.payload_bytes,
		.batch_actions = config->limits.batch_actions,
		.body_bytes = config->limits.body_bytes,
		.snapshot_bytes = config->limits.snapshot_bytes,
		.page_actions = config->limits.page_actions,
		.page_bytes = config->limits.page_bytes,
		.page_text_bytes = config->server.answer_memory / 2,
		.wait_sec = (unsigned)config->limits.wait_sec,
		.waiters = config->limits.waiters,
		.subject_waiters = config->limits.subject_waiters,
		.sync_msec = config->limits.sync_msec,
		.states = config->states.positions > 0,
		.slow_msec = config->log.slow_ms,
		.clock = {.max_skew_msec = config->clock.max_skew_ms,
			  .monotonic = config->clock.monotonic},
		.quota = {.log_actions = config->limits.log_actions,
			  .log_bytes = config->limits.log_bytes,
			  .subject_logs = config->limits.subject_logs},
		.auth_mode = config_auth_mode(config),
		.rate = {.requests = config->rate.requests,
			 .requests_burst = config->rate.requests_burst,
			 .actions = config->rate.actions,
			 .actions_burst = config->rate.actions_burst,
			 .bytes = config->rate.bytes,
			 .bytes_burst = config->rate.bytes_burst,
			 .failures = config->rate.failures,
			 .failures_burst = config->rate.failures_burst},
		.rate_owners = config->rate.owners,
		.forwarded = (enum forwarded_header)config->rate.forwarded,
	};
}

struct store_options
store_options_of(const struct config *config)
{
	return (struct store_options){
		.dir = config->store.dir,
		.shards = (unsigned)config->store.shards,
		.queue_jobs = config->store.queue,
		.tail_bytes = config->store.tail_bytes,
		.group_jobs = config->store.group,
		.linger_usec = config->store.linger_usec,
		.slice_actions = config->store.slice,
		.cache_logs = config->store.cache_logs,
		.readers = config->server.threads,
		.clock = api_limits_of(config).clock,
		.quota = api_limits_of(config).quota,
		.scrub_rate = config->store.scrub_rate,
		.free_min = config->store.free_min,
		.states = {.positions = config->states.positions,
			   .devices = config->states.devices},
		.states_bytes = config->states.memory,
	};
}

struct auth_options
auth_options_of(const struct config *config)
{
	return (struct auth_options){
		.proxy = config->auth.mode == AUTH_PROXY,
		.own_log = config->auth.own_log,
		.algorithms = config->auth.algorithms,
		.jwks_file = config->auth.jwks_file,
		.jwks_url = config->auth.jwks_url,
		.jwks_ca_file = config->auth.jwks_ca_file,
		.jwks_refresh_sec = config->auth.jwks_refresh_sec,
		.jwks_min_interval_sec = config->auth.jwks_min_interval_sec,
		.issuer = config->auth.issuer,
		.audience = config->auth.audience,
		.type = config->auth.type,
		.leeway_sec = config->auth.leeway_sec,
		.token_bytes = config->auth.token_bytes,
		.cache_bytes = config->auth.cache_bytes,
		.logs_claim = config->auth.logs_claim,
		.logs_ro_claim = config->auth.logs_ro_claim,
		.device_claim = config->auth.device_claim,
		.all_scope = config->auth.all_scope,
		.user_header = config->auth.user_header,
		.trusted = config->auth.trusted,
		.secret_header = config->auth.secret_header,
		.secret_file = config->auth.secret_file,
	};
}

struct listener_options
listener_options_of(const struct config *config, int inherited_fd)
{
	const struct api_limits limits = api_limits_of(config);
	return (struct listener_options){
		.address = config->server.listen,
		.socket_mode = (unsigned)config->server.socket_mode,
		.inherited_fd = inherited_fd,
		.threads = (unsigned)config->server.threads,
		.connections = (unsigned)config->server.connections,
		.address_connections = (unsigned)config->server.address_connections,
		.deadlines = {.header_sec = (unsigned)config->server.header_sec,
			      .body_sec = (unsigned)config->server.body_sec,
			      .send_sec = (unsigned)config->server.send_sec,
			      .idle_sec = (unsigned)config->server.idle_sec,
			      .least_rate = config->server.least_rate},
		.cors_origins = config->server.cors_origins,
		.cors_max_age_sec = (unsigned)config->server.cors_max_age_sec,
		.tls_cert = config->server.tls_cert,
		.tls_key = config->server.tls_key,
		.header_bytes = config->server.header_bytes,
		.body_memory = config->server.body_memory,
		.answer_memory = config->server.answer_memory,
		.drain_bytes = config->server.drain_bytes,
		.arena_bytes = api_arena_bytes(&limits),
	};
}

struct webhook_options
webhook_options_of(const struct config *config)
{
	return (struct webhook_options){
		.url = config->webhook.url,
		.secret_file = config->webhook.secret_file,
		.ca_file = config->webhook.ca_file,
		.queue = config->webhook.queue,
		.connections = (unsigned)config->webhook.connections,
		.timeout_sec = (unsigned)config->webhook.timeout_sec,
		.gather_msec = config->webhook.gather_msec,
		.keep_sec = config->webhook.keep_sec,
	};
}
