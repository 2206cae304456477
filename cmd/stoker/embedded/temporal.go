package embedded

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"stoker.dev/stoker/cmd/stoker/datadir"
	"stoker.dev/stoker/cmd/stoker/embedded/sdklog"
	"stoker.dev/stoker/cmd/stoker/embedded/temporald"
	"stoker.dev/stoker/cmd/stoker/embedded/ui"
)

// temporalTarget is a Temporal server and how the UI reaches it.
type temporalTarget struct {
	address, namespace string
	tls                ui.TLS
	noUI               string // why the UI cannot be served here, if so
}

func (p *Platform) startTemporal(ctx context.Context, o Options, ports datadir.Ports) error {
	log := o.Logger.With("part", "temporal")
	if o.TemporalAddress != "" {
		return p.connectTemporal(ctx, o, log)
	}
	s, err := temporald.Start(ctx, temporald.Options{
		DB: o.Dir.TemporalDB(), Keys: datadir.TemporalKeysOf(o.Dir.Path()), Namespace: DefaultNamespace, SearchAttributes: o.SearchAttributes, Logger: log,
		Ports: temporald.Ports{Frontend: ports.Temporal, History: ports.History, Matching: ports.Matching, Worker: ports.Worker},
	})
	if err != nil {
		return err
	}
	p.temporald = s
	c := s.Credentials()
	p.temporal = temporalTarget{
		address: s.Address(), namespace: DefaultNamespace,
		tls: ui.TLS{
			CaData: encode(c.CA), CertData: encode(c.Cert), KeyData: encode(c.Key),
			ServerName: datadir.TemporalName, EnableHostVerification: true,
		},
	}
	if p.client, err = s.Dial(ctx); err != nil {
		return fmt.Errorf("embedded Temporal: %w", err)
	}
	// An older file has the attributes of its time.
	return ensureSearchAttributes(ctx, p.client, DefaultNamespace, o.SearchAttributes)
}

// connectTemporal uses Temporal's own client configuration: the profile in temporal.toml
// (TEMPORAL_CONFIG_FILE, TEMPORAL_PROFILE) and over it the TEMPORAL_* variables for
// namespace, API key and TLS. The address is the platform's own setting.
func (p *Platform) connectTemporal(ctx context.Context, o Options, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	profile, err := envconfig.LoadClientConfigProfile(envconfig.LoadClientConfigProfileOptions{})
	if err != nil {
		return fmt.Errorf("%w: Temporal client configuration: %w", ErrExternal, err)
	}
	profile.Address = o.TemporalAddress
	if profile.Namespace == "" {
		profile.Namespace = DefaultNamespace
	}
	opts, err := profile.ToClientOptions(envconfig.ToClientOptionsRequest{})
	if err != nil {
		return fmt.Errorf("%w: Temporal client configuration: %w", ErrExternal, err)
	}
	opts.Logger = sdklog.New(log)
	opts.ConnectionOptions.DialOptions = append(opts.ConnectionOptions.DialOptions, grpc.WithConnectParams(reconnect()))
	p.temporal = externalTarget(profile, opts.ConnectionOptions.TLS)
	if p.client, err = client.DialContext(ctx, opts); err != nil {
		return fmt.Errorf("%w: Temporal at %s: %w; check STOKER_TEMPORAL_ADDRESS and the TEMPORAL_* settings", ErrExternal, o.TemporalAddress, err)
	}
	if err := checkNamespace(ctx, p.client, p.temporal); err != nil {
		return err
	}
	if err := ensureSearchAttributes(ctx, p.client, profile.Namespace, o.SearchAttributes); err != nil {
		log.Warn("search attributes are not registered, workflows will not start before they are", "error", err)
	}
	return nil
}

// reconnectMost bounds the pause between two tries to come back to a Temporal server that went
// away. The SDK's own ten seconds would be added to every wake that waits for it.
const reconnectMost = time.Second

func reconnect() grpc.ConnectParams {
	p := grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: connectTimeout}
	p.Backoff.BaseDelay, p.Backoff.MaxDelay = reconnectWait, reconnectMost
	return p
}

// externalTarget translates the client's TLS settings into the UI's.
func externalTarget(p envconfig.ClientConfigProfile, conf *tls.Config) temporalTarget {
	t := temporalTarget{address: p.Address, namespace: p.Namespace}
	switch {
	case p.APIKey != "":
		t.noUI = "Temporal's web UI is not served here for a server that is reached with an API key: open the provider's own UI."
	case conf != nil && p.TLS != nil:
		t.tls = uiTLS(*p.TLS, p.Address)
	}
	return t
}

// uiTLS: the UI speaks TLS only where a file or a server name is given, and verifies the host
// only when asked.
func uiTLS(c envconfig.ClientConfigTLS, address string) ui.TLS {
	if c.ServerName == "" {
		c.ServerName, _, _ = net.SplitHostPort(address)
	}
	return ui.TLS{
		CaFile: c.ServerCACertPath, CertFile: c.ClientCertPath, KeyFile: c.ClientKeyPath,
		CaData: encode(c.ServerCACertData), CertData: encode(c.ClientCertData), KeyData: encode(c.ClientKeyData),
		ServerName: c.ServerName, EnableHostVerification: !c.DisableHostVerification,
	}
}

// checkNamespace gives the one line that helps; a server that forbids the question is not a
// server without the namespace.
func checkNamespace(ctx context.Context, c client.Client, t temporalTarget) error {
	_, err := c.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: t.namespace})
	var notFound *serviceerror.NamespaceNotFound
	if errors.As(err, &notFound) {
		return fmt.Errorf("%w: Temporal at %s has no namespace %q; make it with: temporal operator namespace create --namespace %s",
			ErrExternal, t.address, t.namespace, t.namespace)
	}
	return nil
}

func newUI(t temporalTarget, log *slog.Logger) (http.Handler, error) {
	if t.noUI != "" {
		return ui.Elsewhere(t.noUI), nil
	}
	return ui.New(ui.Options{TemporalAddress: t.address, Namespace: t.namespace, TLS: t.tls, Logger: log.With("part", "temporal-ui")})
}
