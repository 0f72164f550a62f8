package main

import (
	"context"
	"time"

	"github.com/segmentio/kafka-go"
)

func crc32(writer *kafka.Writer) {
	writer.Balancer = kafka.CRC32Balancer{}
	writer.Compression = kafka.Gzip
}

func murmur2(writer *kafka.Writer) { writer.Balancer = kafka.Murmur2Balancer{} }

// segmentio writes with kafka-go. Without a balancer it ignores the key and goes round robin.
func segmentio(set func(*kafka.Writer)) writer {
	return func(orders, _ []order) error {
		writer := &kafka.Writer{
			Addr:         kafka.TCP(brokers...),
			Topic:        topic,
			BatchTimeout: 10 * time.Millisecond,
			RequiredAcks: kafka.RequireAll,
		}
		if set != nil {
			set(writer)
		}
		var messages []kafka.Message
		for _, order := range orders {
			messages = append(messages, kafka.Message{Key: []byte(order.OrderID), Value: order.number()})
		}
		err := writer.WriteMessages(context.Background(), messages...)
		if closed := writer.Close(); err == nil {
			err = closed
		}
		return err
	}
}
