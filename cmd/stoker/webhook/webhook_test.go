package webhook

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
)

// receiver is a server over TLS, and a sender that trusts it and is in a hurry.
func receiver(t *testing.T, f http.HandlerFunc) (*Sender, string) {
	t.Helper()
	server := httptest.NewUnstartedServer(f)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	s := New(roots)
	s.first = time.Millisecond
	return s, server.URL + "/hook?token=secret"
}

func ended() event.Event {
	e := event.New()
	e.SetID("uid/1/succeeded")
	e.SetSource("stoker")
	e.SetType("dev.stoker.job.succeeded.v1")
	e.SetSubject("ns/train")
	_ = e.SetData(event.ApplicationJSON, map[string]string{"phase": "succeeded"})
	return e
}

func TestAnEventArrivesAsACloudEvent(t *testing.T) {
	got := make(chan *event.Event, 1)
	s, address := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		e, err := cehttp.NewEventFromHTTPRequest(r)
		if err != nil {
			t.Error(err)
		}
		got <- e
		w.WriteHeader(http.StatusAccepted)
	})
	if err := s.Send(t.Context(), address, ended()); err != nil {
		t.Fatal(err)
	}
	if e := <-got; e.String() != ended().String() {
		t.Errorf("it arrived as %s", e)
	}
}

func TestAServerThatIsAwayIsTriedAgain(t *testing.T) {
	var tries atomic.Int64
	s, address := receiver(t, func(w http.ResponseWriter, _ *http.Request) {
		switch tries.Add(1) {
		case 1:
			panic(http.ErrAbortHandler) // the connection breaks
		case 2:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 3:
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusTooManyRequests)
		}
	})
	if err := s.Send(t.Context(), address, ended()); err != nil || tries.Load() != 4 {
		t.Errorf("after %d tries: %v", tries.Load(), err)
	}
}

func TestWhatAnotherTryDoesNotChangeIsGivenUp(t *testing.T) {
	var tries, followed atomic.Int64
	s, address := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			followed.Add(1)
			return
		}
		tries.Add(1)
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	err := s.Send(t.Context(), address, ended())
	if !errors.Is(err, ErrRefused) || tries.Load() != 1 || followed.Load() != 0 {
		t.Errorf("after %d tries, %d of them where it was sent on: %v", tries.Load(), followed.Load(), err)
	}
	for _, bad := range []string{"http://127.0.0.1:1/?token=secret", "https://169.254.169.254/?token=secret", "https://[fe80::1]/?token=secret", "://secret"} {
		if err := s.Send(t.Context(), bad, ended()); !errors.Is(err, ErrAddress) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// An address holds a token, and errors are logged.
func TestErrorsNameTheHostAlone(t *testing.T) {
	s, address := receiver(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range []error{s.Send(t.Context(), address, ended()), s.Send(ctx, address, ended()), s.Send(t.Context(), "https://169.254.169.254/?token=secret", ended())} {
		if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), Host(address)) && !strings.Contains(err.Error(), "169.254.169.254") {
			t.Errorf("it says %v", err)
		}
	}
}

func TestEventsBeyondTheBoundAreRefused(t *testing.T) {
	s, address := receiver(t, func(http.ResponseWriter, *http.Request) {})
	s.pending.Store(MaxPending)
	if err := s.Send(t.Context(), address, ended()); !errors.Is(err, ErrFull) || s.pending.Load() != MaxPending {
		t.Errorf("with %d on their way: %v", s.pending.Load(), err)
	}
}

// A server may ask for a pause, and not for none, nor for one that never ends.
func TestAPauseIsNeitherNoneNorForEver(t *testing.T) {
	for after, want := range map[string][2]int64{"0": {1, 6}, "-1": {1, 6}, "NaN": {1, 6}, "9223372037": {1, 1}, "1e400": {1, 6}, "99999999999999999999": {1, 1}} {
		var tries atomic.Int64
		s, address := receiver(t, func(w http.ResponseWriter, _ *http.Request) {
			tries.Add(1)
			w.Header().Set("Retry-After", after)
			w.WriteHeader(http.StatusServiceUnavailable)
		})
		s.first = 50 * time.Millisecond
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		err := s.Send(ctx, address, ended())
		cancel()
		if n := tries.Load(); err == nil || n < want[0] || n > want[1] {
			t.Errorf("with Retry-After: %s it is tried %d times: %v; want %v", after, n, err, want)
		}
	}
}

// A proxy would dial what we refuse to.
func TestNoProxyStandsBetween(t *testing.T) {
	if New(nil).client.Transport.(*http.Transport).Proxy != nil { //nolint:forcetypeassert // 2026-11-28: New makes it
		t.Error("the address of a proxy is all that is looked at")
	}
}
