package temporald

import (
	"bytes"
	"context"
	"crypto/tls"
	"os"
	"testing"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"stoker.dev/stoker/cmd/stoker/datadir"
)

// TestNoPortOfTemporalIsOpen: raw gRPC to each of the four services, as any process on the machine
// could send it.
func TestNoPortOfTemporalIsOpen(t *testing.T) {
	o := testOptions(t, t.TempDir())
	s := start(t, o)
	defer stop(t, s)
	stranger, _, err := newIdentity(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	own, err := s.Credentials().Config()
	if err != nil {
		t.Fatal(err)
	}
	trusting := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12} //nolint:gosec // an attacker does not care whom it attacks
	forged := stranger.client.Clone()
	forged.InsecureSkipVerify = true
	noCert := own.Clone()
	noCert.Certificates = nil
	asServer := own.Clone()
	asServer.Certificates = s.id.server.Certificates // a server's certificate is none of a client
	for what, creds := range map[string]credentials.TransportCredentials{
		"plain text": insecure.NewCredentials(), "no certificate": credentials.NewTLS(noCert), "no certificate, no questions": credentials.NewTLS(trusting),
		"a certificate of another platform": credentials.NewTLS(forged), "a server's certificate": credentials.NewTLS(asServer),
	} {
		for service, port := range map[string]int{"frontend": o.Ports.Frontend, "history": o.Ports.History, "matching": o.Ports.Matching, "worker": o.Ports.Worker} {
			if err := listNamespaces(t, port, creds); status.Code(err) != codes.Unavailable {
				t.Errorf("%s, %s: got %v, want no connection", service, what, err)
			}
		}
	}
	if err := listNamespaces(t, o.Ports.Frontend, credentials.NewTLS(own)); err != nil {
		t.Errorf("with the credentials of the data directory: %v", err)
	}
	if err := listNamespaces(t, o.Ports.History, credentials.NewTLS(own)); status.Code(err) != codes.Unimplemented {
		t.Errorf("history with them: got %v, want an answer that it knows no such call", err)
	}
}

func listNamespaces(t *testing.T, port int, creds credentials.TransportCredentials) error {
	t.Helper()
	conn, err := grpc.NewClient(address(port), grpc.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), readyTimeout)
	defer cancel()
	_, err = workflowservice.NewWorkflowServiceClient(conn).ListNamespaces(ctx, &workflowservice.ListNamespacesRequest{})
	return err
}

// TestCertificatesOutliveARestart, and are made anew where one of them is gone or of another set.
func TestCertificatesOutliveARestart(t *testing.T) {
	keys := datadir.TemporalKeysOf(t.TempDir())
	open := func() Credentials {
		id, err := openIdentity(keys, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return id.clients
	}
	first := open()
	if again := open(); !bytes.Equal(again.Cert, first.Cert) {
		t.Error("made anew without a reason")
	}
	if conf, err := keys.Config(); err != nil || conf.ServerName != datadir.TemporalName {
		t.Errorf("what the operator's tools use: %v", err)
	}
	other := datadir.TemporalKeysOf(t.TempDir())
	if _, err := openIdentity(other, time.Now()); err != nil {
		t.Fatal(err)
	}
	foreign, err := os.ReadFile(other.CA)
	if err != nil {
		t.Fatal(err)
	}
	for what, damage := range map[string]func() error{
		"a missing key":                 func() error { return os.Remove(keys.Key) },
		"an authority of another set":   func() error { return os.WriteFile(keys.CA, foreign, 0o600) },
		"a server's file that is empty": func() error { return os.WriteFile(keys.ServerCert, nil, 0o600) },
	} {
		before := open()
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		if after := open(); bytes.Equal(after.Cert, before.Cert) {
			t.Errorf("%s: goes on with it", what)
		}
	}
}
