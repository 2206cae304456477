package gateway

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"stoker.dev/stoker/cmd/stoker/access"
	"stoker.dev/stoker/cmd/stoker/api"
	"stoker.dev/stoker/cmd/stoker/doorkeeper"
	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// route is something to ask of the HTTP port about functions of a namespace, and what it takes.
type route struct {
	action access.Action
	method string
	path   string // %s is the namespace
	body   string
}

func routes() []route {
	const of = "/api/v1/functions/%s/tinylm"
	return []route{
		{access.Invoke, "POST", "/functions/%s/tinylm?async=1", "x"},
		{access.Invoke, "POST", "/functions/%s/tinylm/v1/completions?async=1", "{}"},
		{access.ReadRecords, "GET", "/results/%s/tinylm/some-id", ""},
		{access.Look, "GET", "/api/v1/functions?namespace=%s", ""},
		{access.Look, "GET", of, ""},
		{access.Look, "GET", of + "/explain", ""},
		{access.Look, "GET", "/api/v1/events?namespace=%s", ""},
		{access.Deploy, "POST", "/api/v1/functions", strings.Replace(manifest, "{name: %s}", "{name: tinylm, namespace: %s}", 1)},
		{access.Deploy, "DELETE", of, ""},
		{access.Deploy, "POST", of + "/scale", `{"replicas":1}`},
		{access.Deploy, "POST", of + "/pause", `{"paused":true}`},
		{access.ReadLogs, "GET", of + "/logs", ""},
		{access.DeadLetters, "GET", of + "/dead", ""},
		{access.DeadLetters, "POST", of + "/dead", `{"op":"purge","all":true}`},
	}
}

func (r route) in(namespace string) route {
	r.path = strings.ReplaceAll(r.path, "%s", namespace)
	r.body = strings.ReplaceAll(r.body, "%s", namespace)
	return r
}

// refusedBy tells whether an answer says that the asker may not.
func refusedBy(r reply) bool {
	return r.StatusCode == http.StatusUnauthorized || r.StatusCode == http.StatusForbidden
}

// TestEveryRouteAsksWhoItIs: every role on every route, in its namespace and in another one.
func TestEveryRouteAsksWhoItIs(t *testing.T) {
	w := newWorld(t)
	other := functions.Key{Namespace: "other", Name: "tinylm"}
	w.deploy(other, nil)
	principals := map[string]access.Principal{"": access.Nobody(false)}
	headers := map[string][]string{"": nil}
	for _, role := range access.Roles() {
		namespaces := []string{"default"}
		if role == access.Admin {
			namespaces = []string{access.Everywhere}
		}
		name := string(role)
		headers[name] = w.user(name, role, namespaces...)
		principals[name] = access.Principal{Name: name, Role: role, Namespaces: namespaces}
	}
	w.control.err = &api.Error{Code: http.StatusConflict, Message: "this one would have been done"}
	for name, p := range principals {
		for _, ns := range []string{"default", "other"} {
			for _, r := range routes() {
				r = r.in(ns)
				got := w.do(r.method, r.path, r.body, headers[name]...)
				if may := p.May(r.action, ns); may == refusedBy(got) {
					t.Errorf("%q may %s in %s: %t, but %s %s is %d %s", name, r.action, ns, may, r.method, r.path, got.StatusCode, got.body)
				}
				if refusedBy(got) && got.failure(t).Hint == "" {
					t.Errorf("%s: no way out: %s", r.path, got.body)
				}
			}
		}
	}
}

// TestPlatformWideRoutes want every namespace, or show what the asker may see.
func TestPlatformWideRoutes(t *testing.T) {
	w := newWorld(t)
	w.deploy(functions.Key{Namespace: "other", Name: "hidden"}, nil)
	alice := w.user("alice", access.Deployer, "default")
	root := w.user("root", access.Admin, access.Everywhere)
	if r := w.get("/api/v1/functions", alice...); r.StatusCode != http.StatusOK || strings.Contains(r.body, "hidden") || !strings.Contains(r.body, "tinylm") {
		t.Errorf("list: %d %s", r.StatusCode, r.body)
	}
	if r := w.get("/api/v1/functions", root...); !strings.Contains(r.body, "hidden") {
		t.Errorf("list of an admin: %d %s", r.StatusCode, r.body)
	}
	if r := w.get("/metrics", alice...); r.StatusCode != http.StatusForbidden {
		t.Errorf("metrics of every namespace: %d", r.StatusCode)
	}
	if r := w.get("/api/v1/cost", alice...); r.StatusCode != http.StatusOK || strings.Contains(r.body, "secret") || !strings.Contains(r.body, `"(others)"`) {
		t.Errorf("cost: %d %s", r.StatusCode, r.body)
	}
	if r := w.get("/api/v1/cost?by=namespace&since=1h", root...); !strings.Contains(r.body, `"other"`) {
		t.Errorf("cost for an admin: %d %s", r.StatusCode, r.body)
	}
	for _, q := range []string{"by=colour", "since=tomorrow", "since=-1h"} {
		if r := w.get("/api/v1/cost?"+q, root...); r.StatusCode != http.StatusBadRequest || !strings.Contains(r.body, "allowed") {
			t.Errorf("cost?%s: %d %s", q, r.StatusCode, r.body)
		}
	}
	if r := w.post("/api/v1/logins", "", alice...); r.StatusCode != http.StatusForbidden {
		t.Errorf("a login to Temporal: %d", r.StatusCode)
	}
	if r := w.post("/functions/default/hiden", "", alice...); r.StatusCode != http.StatusNotFound || strings.Contains(r.body, "hidden") {
		t.Errorf("a wrong name tells of another namespace: %s", r.body)
	}
	must(t, w.bus.Emit(w.ctx(), functions.Key{Namespace: "other", Name: "hidden"}, "function", "woke", nil))
	must(t, w.bus.Emit(w.ctx(), fn, "function", "woke", nil))
	if r := w.get("/api/v1/events", alice...); strings.Contains(r.body, "hidden") || !strings.Contains(r.body, "tinylm") {
		t.Errorf("events: %s", r.body)
	}
	both := strings.ReplaceAll(manifest, "%s", "a") + "---\n" + strings.Replace(manifest, "{name: %s}", "{name: b, namespace: other}", 1)
	if r := w.post("/api/v1/functions", both, alice...); r.StatusCode != http.StatusForbidden || len(w.control.noted()) > 0 {
		t.Errorf("manifests of two namespaces: %d %s, %q", r.StatusCode, r.body, w.control.noted())
	}
}

// TestOnlyProbesAnswerNobody where callers without a token are not let in.
func TestOnlyProbesAnswerNobody(t *testing.T) {
	w := newWorld(t)
	keeper, err := doorkeeper.Open(doorkeeper.Options{Token: testToken, Users: w.users})
	must(t, err)
	w.server.Config.Handler = New(Options{Bus: w.bus, Control: w.control, Keeper: keeper, UI: http.NotFoundHandler()}).Handler()
	all := routes()
	for _, path := range []string{"/metrics", "/temporal/", "/api/v1/status", "/api/v1/cost", "/api/v1/", "/api/v1/nothing"} {
		all = append(all, route{method: "GET", path: path})
	}
	for _, r := range all {
		r = r.in("default")
		if got := w.do(r.method, r.path, r.body); got.StatusCode != http.StatusUnauthorized || got.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s %s: %d", r.method, r.path, got.StatusCode)
		}
	}
	for _, path := range []string{"/healthz", "/readyz", "/"} {
		if got := w.get(path); got.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", path, got.StatusCode)
		}
	}
	if got := w.get("/api/v1/status", "Authorization", "Bearer "+testToken); got.StatusCode != http.StatusOK {
		t.Errorf("with the platform's token: %d", got.StatusCode)
	}
}

// TestAWrongTokenIsNotTakenForNone, also where none is needed.
func TestAWrongTokenIsNotTakenForNone(t *testing.T) {
	w := newWorld(t)
	for _, header := range []string{
		"Bearer wrong", "Bearer " + testToken + "x", "Bearer " + testToken[1:], "Bearer", "Bearer ", "Basic " + testToken, testToken, "bearer\t" + testToken,
	} {
		for _, path := range []string{"/metrics", "/api/v1/status", "/results/default/tinylm/x"} {
			if r := w.get(path, "Authorization", header); r.StatusCode != http.StatusUnauthorized {
				t.Errorf("%q on %s: %d", header, path, r.StatusCode)
			}
		}
	}
	r := w.request(w.ctx(), http.MethodGet, "/api/v1/status", "")
	r.Header["Authorization"] = []string{"Bearer wrong", "Bearer " + testToken}
	resp, err := w.server.Client().Do(r)
	must(t, err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("two headers: %d", resp.StatusCode)
	}
	if r := w.get("/api/v1/status?token="+testToken+"&access_token="+testToken, "Cookie", sessionCookie+"="+testToken); r.StatusCode != http.StatusOK {
		t.Errorf("looking needs no token: %d", r.StatusCode)
	}
	if r := w.post("/api/v1/functions/default/tinylm/pause?token="+testToken, `{"paused":true}`); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("a token in the address is none: %d", r.StatusCode)
	}
}

// TestRecordsAreLocalUntilThereAreUsers: then each belongs to its namespace.
func TestRecordsAreLocalUntilThereAreUsers(t *testing.T) {
	w := newWorld(t)
	w.serve(fn, echo)
	w.post(fnPath, "secret", "Stoker-Id", "mine")
	if r := w.get("/results/default/tinylm/mine?wait=10s"); r.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", r.StatusCode, r.body)
	}
	carol := w.user("carol", access.Caller, "other")
	for who, header := range map[string][]string{"nobody": nil, "carol": carol} {
		if r := w.get("/results/default/tinylm/mine", header...); !refusedBy(r) || strings.Contains(r.body, "secret") {
			t.Errorf("%s: %d %s", who, r.StatusCode, r.body)
		}
	}
	// Whatever a path looks like, the namespace that is read is the one that was asked about.
	for _, path := range []string{
		"/results/other/../default/tinylm/mine", "/results/other%2F..%2Fdefault/tinylm/mine", "/results/other/..%2Fdefault%2Ftinylm/mine",
		"/results/%2A/tinylm/mine", "/results/other/tinylm/..%2F..%2Fdefault%2Ftinylm%2Fmine", "/results//default/tinylm/mine", "/results/*/*/mine", "/results/>/x/y",
	} {
		if r := w.get(path, carol...); r.StatusCode == http.StatusOK || strings.Contains(r.body, "secret") {
			t.Errorf("%s: %d %s", path, r.StatusCode, r.body)
		}
	}
}

// TestDeadLettersStayInTheirNamespace: they are named by numbers that count through all of them.
func TestDeadLettersStayInTheirNamespace(t *testing.T) {
	w := newWorld(t)
	other := functions.Key{Namespace: "other", Name: "tinylm"}
	w.deploy(other, nil)
	must(t, w.bury(1))
	eve := w.user("eve", access.Deployer, "other")
	if r := w.get("/api/v1/functions/other/tinylm/dead", eve...); r.StatusCode != http.StatusOK || strings.TrimSpace(r.body) != "[]" {
		t.Errorf("%d %s", r.StatusCode, r.body)
	}
	for _, op := range []string{"redrive", "purge"} {
		if r := w.post("/api/v1/functions/other/tinylm/dead", `{"op":"`+op+`","seqs":[1]}`, eve...); r.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d %s", op, r.StatusCode, r.body)
		}
	}
	if n, err := w.bus.CountDead(w.ctx(), fn); err != nil || n != 1 {
		t.Errorf("%d left, %v", n, err)
	}
}

// TestAnInvokeWantsAnInbox: an answer anywhere else would be a publish in the platform's name.
func TestAnInvokeWantsAnInbox(t *testing.T) {
	w := newWorld(t)
	w.run()
	heard, err := w.bus.Conn().SubscribeSync(">")
	must(t, err)
	nc, err := nats.Connect(w.url)
	must(t, err)
	defer nc.Close()
	subject := events.InvokeSubject(fn)
	bad := []string{
		"", events.ControlSubject(fn, "r-1"), events.ResultSubject(fn, "x"), "$JS.API.STREAM.PURGE." + events.StreamResults, "$KV.STOKER_LEDGER.default",
		events.InvokeSubject(fn), "_INBOX", "_INBOX_x", "_R_.x", "_INBOX." + strings.Repeat("x", 300), "_inbox.x",
	}
	for _, to := range bad {
		must(t, nc.PublishMsg(&nats.Msg{Subject: subject, Reply: to, Data: []byte("bad")}))
	}
	answers, err := nc.SubscribeSync("_INBOX.mine")
	must(t, err)
	must(t, nc.PublishMsg(&nats.Msg{Subject: subject, Reply: "_INBOX.mine", Header: nats.Header{headerClass: {"nonsense"}}}))
	if m, err := answers.NextMsg(inTime); err != nil || m.Header.Get(events.HeaderErrorCode) != "400" {
		t.Fatalf("%v, %v", m, err)
	}
	for {
		m, err := heard.NextMsg(time.Second)
		if errors.Is(err, nats.ErrTimeout) || err == nil && m.Subject == "_INBOX.mine" {
			break
		}
		must(t, err)
		if m.Subject != subject && !strings.HasPrefix(m.Subject, "$JS.EVENT") {
			t.Errorf("%q to %s", m.Data, m.Subject)
		}
	}
}

// TestOnlyAdministratorsSeeTemporal, by token, or by a link that works once.
func TestOnlyAdministratorsSeeTemporal(t *testing.T) {
	w := newWorld(t)
	now := time.Date(2026, 11, 27, 4, 0, 0, 0, time.UTC)
	var behind *http.Request
	ui := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { behind = r; _, _ = rw.Write([]byte("workflows")) })
	g := New(Options{Bus: w.bus, Control: w.control, Keeper: w.keeper, UI: ui, Now: func() time.Time { return now }})
	w.server.Config.Handler = g.Handler()
	deployer, root := w.user("ci", access.Deployer, access.Everywhere), w.user("root", access.Admin, access.Everywhere)
	for name, header := range map[string][]string{
		"nobody": nil, "a deployer": deployer, "a made-up session": {"Cookie", sessionCookie + "=x"}, "an empty session": {"Cookie", sessionCookie + "="},
	} {
		for _, method := range []string{"GET", "POST", "PUT", "DELETE", "OPTIONS"} {
			if r := w.do(method, "/temporal/api/v1/namespaces", "", header...); !refusedBy(r) || strings.Contains(r.body, "workflows") {
				t.Errorf("%s: %s: %d %s", name, method, r.StatusCode, r.body)
			}
		}
	}
	if r := w.get("/temporal/", "Accept", "text/html"); r.StatusCode != http.StatusUnauthorized || !strings.Contains(r.body, "`stoker ui`") {
		t.Errorf("a browser is told: %d %s", r.StatusCode, r.body)
	}
	if r := w.get("/temporal/", root...); r.body != "workflows" || behind.Header.Get("Authorization") != "" {
		t.Errorf("%d %s: %v", r.StatusCode, r.body, behind.Header)
	}
	cl := api.NewClient(w.server.URL, strings.TrimPrefix(root[1], "Bearer "), w.server.Client())
	link, err := cl.Login(w.ctx())
	must(t, err)
	path := strings.TrimPrefix(link, w.server.URL)
	in := w.get(path)
	cookies := in.Cookies()
	if in.StatusCode != http.StatusOK || len(cookies) != 1 || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteStrictMode || cookies[0].Path != "/temporal" {
		t.Fatalf("%d %s: %+v", in.StatusCode, in.body, cookies)
	}
	session := []string{"Cookie", sessionCookie + "=" + cookies[0].Value + "; _csrf=theirs"}
	if r := w.get("/temporal/x", session...); r.body != "workflows" || behind.Header.Get("Cookie") != "_csrf=theirs" {
		t.Errorf("with the cookie: %d %s: %v", r.StatusCode, r.body, behind.Header)
	}
	if r := w.get(path); r.StatusCode != http.StatusUnauthorized || len(r.Cookies()) != 0 {
		t.Errorf("the same link again: %d", r.StatusCode)
	}
	if r := w.post("/api/v1/functions/default/tinylm/pause", `{"paused":true}`, session...); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("the cookie opens the API: %d", r.StatusCode)
	}
	if r := w.get("/temporal/x", append(session, "Authorization", deployer[1])...); r.StatusCode != http.StatusForbidden {
		t.Errorf("a token counts before the cookie: %d", r.StatusCode)
	}
	late, err := cl.Login(w.ctx())
	must(t, err)
	now = now.Add(codeLife)
	if r := w.get(strings.TrimPrefix(late, w.server.URL)); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("a link after a minute: %d", r.StatusCode)
	}
	now = now.Add(sessionLife)
	if r := w.get("/temporal/x", session...); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("a session after its time: %d", r.StatusCode)
	}
}

// TestASessionEndsWithItsUser.
func TestASessionEndsWithItsUser(t *testing.T) {
	w := newWorld(t)
	g := New(Options{Bus: w.bus, Control: w.control, Keeper: w.keeper, UI: http.NotFoundHandler()})
	root := w.user("root", access.Admin, access.Everywhere)
	session, ok := g.logins.redeem(g.logins.code(strings.TrimPrefix(root[1], "Bearer ")))
	if !ok {
		t.Fatal("no session")
	}
	status := func() int {
		r := httptest.NewRequest(http.MethodGet, "http://localhost/temporal/", nil)
		r.AddCookie(&http.Cookie{Name: sessionCookie, Value: session})
		rec := httptest.NewRecorder()
		g.Handler().ServeHTTP(rec, r)
		return rec.Code
	}
	if got := status(); got != http.StatusNotFound {
		t.Errorf("%d", got)
	}
	must(t, doorkeeper.Edit(w.users, func(u access.Users) (access.Users, error) { return u.Without("root") }))
	if got := status(); got != http.StatusUnauthorized {
		t.Errorf("after the user went: %d", got)
	}
}

func TestLoginsAreBounded(t *testing.T) {
	l := newLogins(time.Now)
	for range 2 * maxLogins {
		l.code("t")
	}
	if len(l.codes) > maxLogins {
		t.Errorf("%d codes", len(l.codes))
	}
}

// TestARebouncedNameReachesNoRoute: a page whose name was made to point here is of the same origin
// as we are, so its name is what gives it away.
func TestARebouncedNameReachesNoRoute(t *testing.T) {
	w := newWorld(t)
	g := New(Options{Bus: w.bus, Control: w.control, Keeper: w.keeper, UI: http.NotFoundHandler(), Host: func(h string) bool { return h == "gpu.example.com" }})
	w.server.Config.Handler = g.Handler()
	paths := map[string]string{"/": "GET", "/healthz": "GET", "/metrics": "GET", "/temporal/": "GET", loginPath: "GET", "/nothing": "GET"}
	for _, r := range routes() {
		paths[r.in("default").path] = r.method
	}
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		for host, served := range map[string]bool{"rebound.example.com": false, "gpu.example.com.evil.test:80": false, "gpu.example.com:8080": true} {
			r := w.request(w.ctx(), paths[path], path, "")
			r.Host = host
			// A socket that a page opens comes with the same Host.
			r.Header.Set("Connection", "Upgrade")
			r.Header.Set("Upgrade", "websocket")
			resp, err := w.server.Client().Do(r)
			must(t, err)
			resp.Body.Close()
			if (resp.StatusCode != http.StatusMisdirectedRequest) != served {
				t.Errorf("%s %s at %s: %d", paths[path], path, host, resp.StatusCode)
			}
		}
	}
}

// TestNoOtherOriginIsAllowed: a browser asks before it sends what a plain form cannot, and takes no
// answer for a yes.
func TestNoOtherOriginIsAllowed(t *testing.T) {
	w := newWorld(t)
	for _, r := range routes() {
		r = r.in("default")
		got := w.do(http.MethodOptions, r.path, "", "Origin", "https://example.com", "Access-Control-Request-Method", r.method,
			"Access-Control-Request-Headers", "authorization")
		for name := range got.Header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s: %s: %s", r.path, name, got.Header.Get(name))
			}
		}
		if r.method == http.MethodGet {
			continue
		}
		got = w.do(r.method, r.path, r.body, "Origin", "https://example.com", "Authorization", "Bearer "+testToken)
		if got.StatusCode != http.StatusForbidden {
			t.Errorf("%s %s from another origin: %d", r.method, r.path, got.StatusCode)
		}
	}
}

// TestZeroPrincipalMayNothing: a handler that forgot to ask who it is serves nobody.
func TestZeroPrincipalMayNothing(t *testing.T) {
	if p := principal(context.Background()); p.Somewhere(access.Look) {
		t.Errorf("%+v", p)
	}
}
