// Package gateway is where requests enter that want an answer: plain NATS request-reply and
// HTTP. It is also the platform's one HTTP port: function calls, results, the control API,
// health, metrics and Temporal's UI.
//
//	nats request stoker.invoke.<ns>.<fn> ─┐
//	                                      ├─► admit ──► publish, with a reply subject ──► shard
//	POST /functions/<ns>/<fn>[/<path>]  ──┘      │
//	                                             └─► refused at once, with why and when to come back
//
//	agent ──reply──► caller's inbox            (invoke: the gateway is not in the way back)
//	agent ──reply──► _R.<gateway>.<call> ──► HTTP answer, or server-sent events as they come
//
// # The life of an HTTP call
//
//	reading ──► admitted ──► stored ──► waiting ──► [chunks] ──► answered
//	   │            │           │          │            │
//	  4xx        404 429 503   202      caller gone: cancelled at the agents
//	                          (async)      │            │
//	                                    504 and a way to the record, or an error event
//
// A call that was stored has a terminal record whatever happens to the gateway or the caller.
//
// # Who comes in
//
//	Host is one of ours? ── no ──► 421        a page whose name was made to point here
//	Origin is ours, or none? ── no ──► 403    a page of another origin that posts
//	token known, or none? ── no ──► 401       a mistake is told, not taken for nobody
//	may they, in this namespace? ── no ──► 401 without a token, 403 with one
//
// Probes and the front page ask nothing. Temporal's UI takes a session too, see login.go.
//
// # What fails, and how it shows
//
//   - Unknown function: 404 with the name that was probably meant.
//   - Queue full: 429 and Retry-After, or the manifest's fallback function takes the call.
//   - Replicas keep crashing: 503 at once, with the cause and when the next one is tried.
//   - What is new could not be stored: 507 and Retry-After, with the platform's reason.
//   - A caller does not read its answer, or finish its request: its connection is closed.
//   - A replica dies in mid-stream: the event "restart", and the answer starts again.
//   - Chunks are lost, or the request fails after the first chunk: the event "error".
//   - The reply is lost (an agent killed between record and reply): found in the record.
//   - The same event twice: the second caller gets the first one's record.
package gateway
