// Package ui serves Temporal's web UI below a path of the platform's own HTTP port. It puts
// together the parts that ui-server exports instead of running its server: that one wants a
// port of its own, which any web page could reach by rebinding a name to loopback past the
// platform's check of the Host header, and ends the process when the port is taken.
package ui

import (
	"fmt"
	"io"
	"io/fs"
	stdlog "log"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"github.com/temporalio/ui-server/v2/server/api"
	"github.com/temporalio/ui-server/v2/server/auth"
	"github.com/temporalio/ui-server/v2/server/config"
	"github.com/temporalio/ui-server/v2/server/csrf"
	"github.com/temporalio/ui-server/v2/server/headers"
	"github.com/temporalio/ui-server/v2/server/route"
	"github.com/temporalio/ui-server/v2/ui"
)

// Path is where the UI is served.
const Path = "/temporal"

// TLS to the Temporal server, by files or PEM data; the zero value is plain text.
type TLS = config.TLS

// Options of the UI. TLS may stay zero.
type Options struct {
	TemporalAddress string // host:port of the frontend
	Namespace       string // shown first
	TLS             TLS
	Logger          *slog.Logger
}

// New builds the handler of everything below [Path]. It connects to Temporal when the first
// page asks for something.
func New(o Options) (http.Handler, error) {
	cfg := uiConfig(o)
	provider, err := config.NewConfigProviderWithRefresh(cfg)
	if err != nil {
		return nil, fmt.Errorf("temporal UI: %w", err)
	}
	assets, err := assets()
	if err != nil {
		return nil, fmt.Errorf("temporal UI: %w", err)
	}
	out := &lines{log: o.Logger}
	e := echo.New()
	e.Logger.SetOutput(out)
	use(e, provider)
	if err := withStdLog(out, func() error { return routes(e, provider, assets) }); err != nil {
		return nil, fmt.Errorf("temporal UI: %w", err)
	}
	return e, nil
}

// uiConfig leaves signals, cancellation and termination in: a terminated function workflow
// is made anew by the controller. What starts or resets one behind the controller's back is
// taken out, and so is everything that calls home.
func uiConfig(o Options) *config.Config {
	return &config.Config{
		TemporalGRPCAddress: o.TemporalAddress, DefaultNamespace: o.Namespace, TLS: o.TLS,
		PublicPath: Path, EnableUI: true, HideLogs: true,
		CORS:             config.CORS{CookieInsecure: true}, // plain HTTP on loopback
		DisableNewsFetch: true, NotifyOnNewVersion: false,
		StartWorkflowDisabled: true, WorkflowResetDisabled: true, BatchActionsDisabled: true,
	}
}

func assets() (fs.FS, error) {
	all, err := ui.Assets()
	if err != nil {
		return nil, err
	}
	return fs.Sub(all, "local")
}

// use installs what ui-server's own server does, less cross-origin access.
func use(e *echo.Echo, provider *config.ConfigProviderWithRefresh) {
	const cookieSecure = false
	e.Use(middleware.Recover(), middleware.Gzip(), middleware.Secure())
	e.Use(csrf.EnsureTokenCookie(cookieSecure))
	e.Use(middleware.CSRFWithConfig(csrf.MiddlewareConfig(provider, cookieSecure)))
	e.Pre(route.PublicPath(Path))
}

func routes(e *echo.Echo, provider *config.ConfigProviderWithRefresh, assets fs.FS) error {
	forward := headers.WithForwardHeaders([]string{auth.AuthorizationExtrasHeader, "Caller-Type"})
	if err := route.SetAPIRoutes(e, provider, []api.Middleware{forward}); err != nil {
		return err
	}
	route.SetRenderRoute(e, "/")
	return route.SetUIRoutes(e, Path, assets, provider)
}

var stdLog sync.Mutex

// withStdLog sends what f prints through the standard logger to out: ui-server tells there,
// at each start, of the CA it loaded and of the page's own content security policy, which it
// drops under a public path.
func withStdLog(out io.Writer, f func() error) error {
	stdLog.Lock()
	defer stdLog.Unlock()
	before := stdlog.Writer()
	stdlog.SetOutput(out)
	defer stdlog.SetOutput(before)
	return f()
}

// lines writes each line to a debug log.
type lines struct{ log *slog.Logger }

func (l *lines) Write(p []byte) (int, error) {
	l.log.Debug(strings.TrimSpace(string(p)))
	return len(p), nil
}

// Elsewhere answers everything below [Path] with why there is no UI here.
func Elsewhere(why string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, why, http.StatusNotFound) })
}
