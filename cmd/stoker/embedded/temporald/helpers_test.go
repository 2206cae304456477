package temporald

import "go.temporal.io/api/workflowservice/v1"

func countRequest(query string) *workflowservice.CountWorkflowExecutionsRequest {
	return &workflowservice.CountWorkflowExecutionsRequest{Namespace: testNamespace, Query: query}
}
