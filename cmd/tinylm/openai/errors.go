package openai

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

// Error is a refusal in OpenAI's shape.
type Error struct {
	Status  int    // HTTP status
	Message string // what is wrong, what was given, what is allowed
	Type    string // OpenAI's class of error
	Param   string // the parameter at fault, empty when there is none
	Code    string // a word for programs, empty when there is none
}

func (e *Error) Error() string { return e.Message }

// OpenAI's error types.
const (
	typeInvalid     = "invalid_request_error"
	typeServer      = "server_error"
	typeRateLimit   = "rate_limit_error"
	typeUnavailable = "service_unavailable_error"
)

// statusClientGone is nginx's code for a client that closed the connection. It is
// seen in logs and tests only, for there is nobody to read it.
const statusClientGone = 499

func invalid(param, format string, args ...any) *Error {
	return &Error{Status: http.StatusBadRequest, Type: typeInvalid, Param: param, Message: fmt.Sprintf(format, args...)}
}

func unsupported(param, hint string) *Error {
	e := invalid(param, "%s is not supported by this model; %s", param, hint)
	e.Code = "unsupported_parameter"
	return e
}

func notFound(format string, args ...any) *Error {
	return &Error{Status: http.StatusNotFound, Type: typeInvalid, Code: "not_found", Message: fmt.Sprintf(format, args...)}
}

func (s *Server) noSuchModel(id string) *Error {
	e := notFound("the model %q does not exist; this server has %q", id, s.opts.Model)
	e.Param, e.Code = "model", "model_not_found"
	return e
}

func unavailable(code, message string) *Error {
	return &Error{Status: http.StatusServiceUnavailable, Type: typeUnavailable, Code: code, Message: message}
}

func tooMany(slots, queue int) *Error {
	return &Error{Status: http.StatusTooManyRequests, Type: typeRateLimit, Code: "queue_full",
		Message: fmt.Sprintf("all %d slots are busy and all %d places in the queue are taken; try again in %d s", slots, queue, retryAfterSeconds)}
}

func clientGone(err error) *Error {
	return &Error{Status: statusClientGone, Type: typeInvalid, Code: "client_closed_request", Message: err.Error()}
}

func internal(err error) *Error {
	return &Error{Status: http.StatusInternalServerError, Type: typeServer, Code: "internal_error", Message: err.Error()}
}

// body is the JSON form: param and code are null when empty, as in OpenAI's API.
func (e *Error) body() map[string]any {
	return map[string]any{"error": map[string]any{
		"message": e.Message, "type": e.Type, "param": nullable(e.Param), "code": nullable(e.Code),
	}}
}

func nullable(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func writeError(w http.ResponseWriter, e *Error) {
	if e.Status == http.StatusTooManyRequests || e.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfterSeconds))
	}
	writeJSON(w, e.Status, e.body())
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a client that went away is not an error of ours
}
