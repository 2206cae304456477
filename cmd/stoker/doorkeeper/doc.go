// Package doorkeeper knows everybody who may come in: the holder of the platform's own token, the
// users in a file, and, on loopback, those who show nothing. HTTP port and broker ask the same
// one, so that a token is worth the same at both doors.
//
//	             missing ──► no users, no error
//	users file ─┤
//	             changed ──► read again ──► good: in force, and those who lost rights are told of
//	                                   └──► bad: the last good one stays in force, and the log says why
//
// The file is looked at before each decision that depends on it and once a second, so a removed
// user is out within a second even if they keep a connection open.
package doorkeeper
