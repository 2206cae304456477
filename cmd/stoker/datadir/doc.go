// Package datadir is what one platform keeps on disk: one directory, one holder.
//
//	lock          held by flock while a platform runs; its content is the holder's pid
//	server.json   0600: addresses and admin token of the running platform, for the CLI
//	ports.json    the ports chosen at the first start, so that agents find it again
//	keys/         0600: the HMAC key that signs agent tokens, the admin token, which agents'
//	              tokens are revoked, and what Temporal's clients show
//	users.yaml    0600: who may use the platform, with hashes of their tokens
//	nats/         JetStream's streams
//	temporal.db   Temporal's SQLite file, with temporal.version beside it
//	replicas/     one directory per local replica
//	bin/          helper binaries built once
//
// The package links neither NATS nor Temporal, so that a CLI command which only looks up
// an address starts at once.
package datadir
