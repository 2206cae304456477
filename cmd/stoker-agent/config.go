package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"stoker.dev/stoker/events"
	"stoker.dev/stoker/functions"
)

// configVar names the file with the agent's configuration.
const configVar = "STOKER_AGENT_CONFIG"

// errConfig is returned when the configuration is missing or wrong.
var errConfig = errors.New("agent configuration")

// takeConfig reads the configuration and removes its path from the environment.
func takeConfig() (events.AgentConfig, error) {
	path := os.Getenv(configVar)
	os.Unsetenv(configVar)
	if path == "" {
		return events.AgentConfig{}, fmt.Errorf("%w: %s is not set; agents are started by stoker, not by hand", errConfig, configVar)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return events.AgentConfig{}, fmt.Errorf("%w: %w", errConfig, err)
	}
	c, err := parseConfig(data)
	if err != nil {
		return events.AgentConfig{}, fmt.Errorf("%w: %s: %w", errConfig, path, err)
	}
	return c, nil
}

// parseConfig reads a configuration and completes its spec with the manifest's defaults.
func parseConfig(data []byte) (events.AgentConfig, error) {
	var c events.AgentConfig
	if err := json.Unmarshal(data, &c); err != nil {
		return c, err
	}
	var missing []string
	for _, f := range []struct {
		name string
		ok   bool
	}{
		{"key", c.Key.Namespace != "" && c.Key.Name != ""},
		{"replica", c.Replica != ""},
		{"command", len(c.Command) > 0},
		{"stream", c.Stream != ""},
		{"nats.url", c.NATS.URL != ""},
	} {
		if !f.ok {
			missing = append(missing, f.name)
		}
	}
	if len(missing) > 0 {
		return c, fmt.Errorf("missing: %s", strings.Join(missing, ", "))
	}
	if c.Port < 0 || c.Port > 65535 {
		return c, fmt.Errorf("port is %d, allowed: 0 (a free one) to 65535", c.Port)
	}
	c.Spec = functions.Default(functions.Function{Spec: c.Spec}).Spec
	return c, nil
}
