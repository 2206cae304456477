package embedded

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/sdk/client"
)

// ensureSearchAttributes registers what is missing. Where that is forbidden, as on Temporal
// Cloud, the error holds the commands that do it.
func ensureSearchAttributes(ctx context.Context, c client.Client, namespace string, want map[string]enumspb.IndexedValueType) error {
	have, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err != nil {
		return byHand(namespace, want, err)
	}
	missing := map[string]enumspb.IndexedValueType{}
	for name, kind := range want {
		got, ok := have.GetCustomAttributes()[name]
		if !ok {
			missing[name] = kind
		} else if got != kind {
			return fmt.Errorf("search attribute %s of namespace %q is of type %v, must be %v; rename the other one", name, namespace, got, kind)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	_, err = c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{Namespace: namespace, SearchAttributes: missing})
	if err != nil {
		return byHand(namespace, missing, err)
	}
	return nil
}

func byHand(namespace string, missing map[string]enumspb.IndexedValueType, err error) error {
	var commands []string
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		commands = append(commands, fmt.Sprintf("temporal operator search-attribute create --namespace %s --name %s --type %v", namespace, name, missing[name]))
	}
	return fmt.Errorf("registering search attributes: %w; do it by hand: %s", err, strings.Join(commands, " && "))
}

// encode is how ui-server wants PEM data.
func encode(pem []byte) string { return base64.StdEncoding.EncodeToString(pem) }
