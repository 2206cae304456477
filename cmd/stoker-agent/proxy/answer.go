package proxy

import (
	"fmt"
	"net/http"

	"stoker.dev/stoker/events"
)

// Verdict is how a request to the model server ended.
type Verdict int

// The verdicts.
const (
	Answered Verdict = iota // 2xx, complete
	Refused                 // the request is at fault; another try would end the same way
	Failed                  // the server is at fault, or gone; another try may succeed
)

// CauseTooLarge is the cause of a record whose answer was larger than a message may be.
const CauseTooLarge = "answer-too-large"

// Answer is what came of one try.
type Answer struct {
	Verdict     Verdict
	Status      int // HTTP; 0: no answer came
	ContentType string
	Body        []byte // whole, unless it went out in chunks
	Cause       string // of a refusal or failure, events.Cause… or [CauseTooLarge]
	Message     string // in words
	Broken      bool   // the connection failed: the server may be dead
	Usage       Usage  // as an OpenAI server tells it; zero: not told
	Unsent      bool   // nobody listened: the request never got there
}

// verdictOf reads an HTTP status. 408, 425 and 429 say "not now", as does everything from
// 500 on; the other 4xx, and redirects, which an agent does not follow, say "not this".
func verdictOf(status int) Verdict {
	switch {
	case status >= 200 && status < 300:
		return Answered
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusTooManyRequests:
		return Failed
	case status >= 300 && status < 500:
		return Refused
	default:
		return Failed
	}
}

// causeOf a status that is no answer: most of 400 to 499 the caller can mend, and the rest
// is between stoker and the model server.
func causeOf(status int) string {
	switch {
	case verdictOf(status) == Failed, status < 400, status == http.StatusUnauthorized, status == http.StatusForbidden:
		return events.CauseBackend
	default:
		return events.CauseBadRequest
	}
}

// snippetBytes is how much of a failed answer's body goes into a message.
const snippetBytes = 300

func statusMessage(status int, body []byte) string {
	text := fmt.Sprintf("the model server answered %d %s", status, http.StatusText(status))
	if len(body) > 0 {
		text += fmt.Sprintf(": %.*q", snippetBytes, body)
	}
	return text
}
