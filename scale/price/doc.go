// Package price says what a GPU-hour costs: a catalogue of offers, each with its date and its
// source, and which of them the GPUs of a pool are had by. A product without an offer is
// unpriced: its cost is not known, which is something else than nothing.
//
// The catalogue is a YAML file:
//
//	prices:
//	- provider: aws
//	  region: us-east-1
//	  product: NVIDIA A10G      # as NVML or GPU feature discovery name it
//	  onDemand: 1.006           # USD per GPU-hour, the machine around the GPU included
//	  reserved: 0.634
//	  spot: 0.40
//	  date: 2026-06-17          # when somebody read it there
//	  source: https://aws.amazon.com/ec2/pricing/on-demand/
//	pools:
//	  default: {provider: aws, region: us-east-1, plan: onDemand}
//	namespaces:
//	  team-a: {budget: {perDay: 100, action: cap}}
package price
