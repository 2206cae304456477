// Package webhook posts CloudEvents to addresses that users gave, in binary mode (CloudEvents over HTTP).
//
//	Send ──► POST ──► 2xx: told
//	          ▲ │
//	          │ └──► 408, 425, 429, 5xx, no answer: again after a pause, which doubles, for [Patience]
//	          └──────  or as long as Retry-After says, if that is longer than the first one
//	                 any other answer: given up at once
//
// The address is somebody's choice who may not be trusted with the network that the platform is in. So it
// is https and nothing else, an answer's redirect is not followed, its body is not read, and addresses
// that belong to the link, where clouds keep credentials of the machine, are not dialled. No proxy of the
// environment is used, since it would dial them for us. Addresses hold
// tokens: errors and logs name the host alone.
//
// Failure cases. A server that is away or too slow costs a goroutine and no more; of these there are
// [MaxPending] at most, and what comes beyond is refused with [ErrFull]. A platform that ends gives up what it has not got rid of.
// A server may get an event twice, under the same source and id.
package webhook
