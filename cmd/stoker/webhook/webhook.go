package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
)

const (
	// Patience is how long a server may be away before an event is given up: a restart, not an outage.
	Patience = 10 * time.Minute
	// MaxPending is how many events are on their way at a time, those that wait for another try included.
	MaxPending = 1024
	// tryTimeout bounds one POST: a server that takes in an event has no reason to think about it.
	tryTimeout = 10 * time.Second
	// firstPause and longestPause are the bounds of the pause between two tries.
	firstPause   = time.Second
	longestPause = time.Minute
)

var (
	// ErrFull is returned where MaxPending events are on their way already.
	ErrFull = errors.New("too many events wait for servers that do not answer")
	// ErrRefused is returned for an answer that another try would not change.
	ErrRefused = errors.New("the server refuses the event")
	// ErrAddress is returned for an address that is not dialled.
	ErrAddress = errors.New("address not allowed")
)

// Sender posts events. Its methods are safe for concurrent use.
type Sender struct {
	client  *http.Client
	first   time.Duration // the first pause
	pending atomic.Int64
}

// New makes a sender that trusts servers whose certificates these have signed; nil: those that the machine trusts.
func New(roots *x509.CertPool) *Sender {
	t := http.DefaultTransport.(*http.Transport).Clone() // net/http documents the type
	// A proxy would dial the address in our place, and nobody would look which it is.
	t.Proxy = nil
	t.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	t.DialContext = (&net.Dialer{Timeout: tryTimeout, Control: allowed}).DialContext
	return &Sender{first: firstPause, client: &http.Client{
		Transport: t, Timeout: tryTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// allowed refuses to dial what is the link's own.
func allowed(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %q is no address", ErrAddress, address)
	}
	if ip := at.Addr().Unmap(); ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() {
		return fmt.Errorf("%w: %s is the link's own", ErrAddress, ip)
	}
	return nil
}

// Host is as much of an address as may be shown.
func Host(address string) string {
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		return u.Host
	}
	return "an address that cannot be read"
}

// Send posts an event until the server has it, and returns why it does not. It takes up to [Patience].
func (s *Sender) Send(ctx context.Context, address string, e event.Event) error {
	if s.pending.Add(1) > MaxPending {
		s.pending.Add(-1)
		return fmt.Errorf("%s: %w", Host(address), ErrFull)
	}
	defer s.pending.Add(-1)
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.Multiplier, pauses.MaxInterval = s.first, 2, longestPause
	_, err := backoff.Retry(ctx, func() (struct{}, error) { return struct{}{}, s.post(ctx, address, e) },
		backoff.WithBackOff(pauses), backoff.WithMaxElapsedTime(Patience))
	if err != nil {
		return fmt.Errorf("%s: %w", Host(address), err)
	}
	return nil
}

// post is one try.
func (s *Sender) post(ctx context.Context, address string, e event.Event) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" {
		return backoff.Permanent(fmt.Errorf("%w: allowed: what begins with https://", ErrAddress))
	}
	req, err := cehttp.NewHTTPRequestFromEvent(ctx, address, e)
	if err != nil {
		return backoff.Permanent(err)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return unnamed(err)
	}
	_ = resp.Body.Close() // what it says is nobody's business
	return s.judge(resp)
}

// unnamed is an error of the client without the address, which it names.
func unnamed(err error) error {
	if of := (*url.Error)(nil); errors.As(err, &of) {
		err = of.Err
	}
	if errors.Is(err, ErrAddress) {
		return backoff.Permanent(err)
	}
	return err
}

// judge tells what is told from what is to be tried again, and both from what was refused.
func (s *Sender) judge(resp *http.Response) error {
	switch code := resp.StatusCode; {
	case code >= 200 && code < 300:
		return nil
	case code >= 500 || code == http.StatusTooManyRequests || code == http.StatusRequestTimeout || code == http.StatusTooEarly:
		if after := retryAfter(resp); after >= s.first {
			return fmt.Errorf("HTTP %d: %w", code, &backoff.RetryAfterError{Duration: after})
		}
		return fmt.Errorf("HTTP %d", code)
	default:
		return backoff.Permanent(fmt.Errorf("%w: HTTP %d", ErrRefused, code))
	}
}

// retryAfter is the pause that a server asks for, [Patience] at most; 0: none.
func retryAfter(resp *http.Response) time.Duration {
	seconds, err := strconv.ParseFloat(resp.Header.Get("Retry-After"), 64)
	if err != nil || !(seconds > 0) {
		return 0
	}
	return time.Duration(min(seconds, Patience.Seconds()) * float64(time.Second))
}
