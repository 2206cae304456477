// Package proxy puts one request to the model server over HTTP and says how that ended: an
// answer, a refusal that trying again will not change, or a failure that it may.
//
// It knows three protocols. http posts the payload; openai posts it to the endpoint its
// shape asks for; cloudevents posts it in the binary mode of the CloudEvents HTTP binding.
package proxy
