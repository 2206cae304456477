package platform

import (
	"github.com/prometheus/client_golang/prometheus"
)

// What is told of the broker. The platform's own connection counts with external servers too;
// the rest is the embedded server's to know.
var (
	descOwnMessages = prometheus.NewDesc("stoker_nats_messages_total",
		"Messages between the platform and the broker, by direction: received, sent. Requests of a warm function are not among them, unless they come in by invoke or HTTP.", []string{"direction"}, nil)
	descBrokerMessages = prometheus.NewDesc("stoker_broker_messages_total", "Messages the embedded broker handled, by direction: in, out.", []string{"direction"}, nil)
	descBrokerHolds    = prometheus.NewDesc("stoker_broker_objects", "What the embedded broker keeps, by kind: connections, subscriptions, streams, consumers.", []string{"kind"}, nil)
)

// collectors are the metrics of what the platform stands on.
func (p *Platform) collectors() []prometheus.Collector {
	return []prometheus.Collector{brokerCollector{p}, writerCollector{p}, p.records}
}

var (
	descLedgerWrites = prometheus.NewDesc("stoker_ledger_writes_total", "Writes of the GPU ledger, by outcome: written; conflict, where another writer came before and the batch was applied anew.", []string{"outcome"}, nil)
	descLedgerOps    = prometheus.NewDesc("stoker_ledger_operations_total", "Operations on the GPU ledger; those that wait for a write go out with it together.", nil, nil)
)

// writerCollector tells how the ledger is written.
type writerCollector struct{ p *Platform }

func (x writerCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- descLedgerWrites
	ch <- descLedgerOps
}

func (x writerCollector) Collect(ch chan<- prometheus.Metric) {
	s := x.p.ledger.Stats()
	count(ch, descLedgerWrites, float64(s.Writes), "written")
	count(ch, descLedgerWrites, float64(s.Conflicts), "conflict")
	count(ch, descLedgerOps, float64(s.Operations))
}

// brokerCollector tells of the broker.
type brokerCollector struct{ p *Platform }

func (x brokerCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- descOwnMessages
	ch <- descBrokerMessages
	ch <- descBrokerHolds
}

func (x brokerCollector) Collect(ch chan<- prometheus.Metric) {
	own := x.p.bus.Traffic()
	count(ch, descOwnMessages, float64(own.Received), "received")
	count(ch, descOwnMessages, float64(own.Sent), "sent")
	s, embedded, err := x.p.servers.BrokerStats()
	if err != nil {
		x.p.Log.Warn("the broker's counts are missing from the metrics", "error", err)
	}
	if err != nil || !embedded {
		return
	}
	count(ch, descBrokerMessages, float64(s.In), "in")
	count(ch, descBrokerMessages, float64(s.Out), "out")
	for _, kind := range []struct {
		name string
		n    int
	}{{"connections", s.Connections}, {"subscriptions", s.Subscriptions}, {"streams", s.Streams}, {"consumers", s.Consumers}} {
		ch <- prometheus.MustNewConstMetric(descBrokerHolds, prometheus.GaugeValue, float64(kind.n), kind.name)
	}
}

func count(ch chan<- prometheus.Metric, d *prometheus.Desc, n float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, n, labels...)
}
