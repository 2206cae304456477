// Package verify looks at JetStream's files before a server opens them, because the server
// mends on its own what it cannot read, and mending is losing: a block is cut off at its first
// bad record and everything after it is gone; a stream whose configuration does not match its
// checksum is left out, and made anew, empty, by whoever needs it; a garbled consumer stops its
// stream. Each of these costs one line in a log.
//
//	<store>/jetstream/<account>/streams/<stream>/
//	    meta.inf, meta.sum    configuration, and its checksum
//	    msgs/<n>.blk          records, each with a checksum
//	    msgs/index.db         what the blocks hold; rebuilt from them where it does not fit
//	    obs/<consumer>/       one directory per consumer
//
// # What is damage, and what is not
//
// A process that is killed leaves at most one record of the last block half written; nobody was
// told that it is stored, and the server drops it. It also may leave meta.inf one write ahead of
// meta.sum ([Mend]), an index behind its blocks, and a stream or consumer that is only begun.
// None of this is damage: a killed platform starts again by itself.
//
// Damage is what a kill cannot leave: a bad record with good ones after it, or in another block
// than the last; records that the index remembers and no block has; a configuration that cannot
// be read; a stream that was there and is not. After the machine itself went down, the end of a
// block may be missing, as much as was not synced: that is told and is no damage either. A bad
// record with good ones after it, or a configuration that cannot be read, is damage even then:
// nothing tells it from a disk that went bad.
//
// The record format is JetStream's own and not documented; [Version] names what it was read from,
// and a test writes and damages files with the server that is linked.
package verify
