// Package backup keeps a data directory in one file, and makes one of it again.
//
// The file is a gzipped tar that stock tools read:
//
//	backup.json                        what wrote it, when, in which version of this format
//	keys/hmac.key, keys/admin.token    the platform's secrets
//	users.yaml                         who may do what, wherever the users file is
//	secrets/<name>/<key>               what manifests refer to
//	streams/<name>/stream.arc.s2       a stream's messages, as `nats stream backup` writes them
//	streams/<name>/backup.json         its configuration and state, beside it
//	checksums.json                     SHA-256 of every file before, and the streams' last numbers
//
// It is taken while the platform runs, or from a directory that nobody holds. It is as secret as
// the directory itself, and written readable by its owner only.
//
// Not in it are what runs (replicas/, ports, programs) and Temporal's file: workflows are made
// again from what is deployed, only their histories are lost. On the machine that restores, leases
// of replicas that do not run there are released, and requests that had no record yet are run.
//
// # Consistency
//
// Streams are written one after the other (see [events.Bus.SnapshotStreams] for the order): what
// was accepted before the backup began is in it, waiting or with its record; of what came while it
// was taken, some. The numbers that streams had given by the end are not given again after a
// restore, or a new request could be taken for one whose record is in the backup.
//
// # Refused
//
// A restore refuses a directory that holds anything, a file of a newer format, a name that would
// leave the directory, a checksum that does not match and a file that ends early. It works in a
// directory beside the target, which appears under its name as a whole or not at all.
package backup
