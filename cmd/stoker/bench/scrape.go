package bench

import (
	"context"
	"fmt"
	"net/http"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// scrapeTimeout bounds one look at the metrics; 20,000 series take some 100 ms.
const scrapeTimeout = 30 * time.Second

// scraped are a platform's metrics at one moment.
type scraped map[string]*dto.MetricFamily

func scrape(ctx context.Context, base string) (scraped, error) {
	ctx, cancel := context.WithTimeout(ctx, scrapeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("metrics: %s", resp.Status)
	}
	out, err := new(expfmt.TextParser).TextToMetricFamilies(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return out, nil
}

// sum adds up the series of a family that have a label value, or all of them with "". A family
// that is not there counts as an error: a renamed metric must not look like an idle platform.
func (s scraped) sum(family, label string) (float64, error) {
	f := s[family]
	if f == nil {
		return 0, fmt.Errorf("the platform has no metric %s", family)
	}
	total := 0.0
	for _, m := range f.GetMetric() {
		if label != "" && !labelled(m, label) {
			continue
		}
		total += m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue()
	}
	return total, nil
}

func labelled(m *dto.Metric, value string) bool {
	for _, l := range m.GetLabel() {
		if l.GetValue() == value {
			return true
		}
	}
	return false
}
