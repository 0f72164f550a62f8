// Writes orders with franz-go, sarama and kafka-go, case by case as stdin asks. The protocol:
// ../../writers.py.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

type order struct {
	OrderID  string `json:"order_id"`
	Status   string `json:"status"`
	Total    string `json:"total"`
	Currency string `json:"currency"`
}

type job struct {
	Case    string  `json:"case"`
	Orders  []order `json:"orders"`
	Aborted []order `json:"aborted"`
}

type outcome struct {
	Case  string  `json:"case"`
	Error *string `json:"error"`
}

// A way of writing orders; those of the second list go into a transaction that is aborted, where
// there are transactions.
type writer func(orders, aborted []order) error

var cases = map[string]writer{
	"franz-go, defaults":                     franz(),
	"franz-go, zstd, transactional":          franzTransactional,
	"sarama, defaults (FNV-1a), snappy":      saramaWriter(false),
	"sarama, idempotent, transactional, lz4": saramaWriter(true),
	"kafka-go, defaults (round robin)":       segmentio(nil),
	"kafka-go, CRC32Balancer, gzip":          segmentio(crc32),
	"kafka-go, Murmur2Balancer":              segmentio(murmur2),
}

var (
	topic   = os.Getenv("ORDER_STATUS_TOPIC")
	brokers = strings.Split(os.Getenv("KAFKA_BOOTSTRAP_SERVERS"), ",")
)

func main() {
	var jobs []job
	if err := json.NewDecoder(os.Stdin).Decode(&jobs); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	answers := json.NewEncoder(os.Stdout)
	for _, job := range jobs {
		answer := outcome{Case: job.Case}
		if write, ok := cases[job.Case]; !ok {
			answer.fail("there is no such case")
		} else if err := write(job.Orders, job.Aborted); err != nil {
			answer.fail(err.Error())
		}
		_ = answers.Encode(answer)
	}
}

func (o *outcome) fail(why string) { o.Error = &why }

// text is the order with its total as a string.
func (o order) text() []byte {
	value, _ := json.Marshal(o)
	return value
}

// number is the order with its total as a number, digit by digit as it was given.
func (o order) number() []byte {
	value, _ := json.Marshal(map[string]any{
		"order_id": o.OrderID,
		"status":   o.Status,
		"total":    json.Number(o.Total),
		"currency": o.Currency,
	})
	return value
}
