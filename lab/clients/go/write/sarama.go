package main

import "github.com/IBM/sarama"

func saramaWriter(transactional bool) writer {
	return func(orders, aborted []order) error {
		config := sarama.NewConfig()
		config.ClientID = "clients-sarama"
		config.Version = sarama.V2_8_0_0
		config.Producer.Return.Successes = true
		config.Producer.RequiredAcks = sarama.WaitForAll
		config.Producer.Compression = sarama.CompressionSnappy
		if transactional {
			config.Producer.Compression = sarama.CompressionLZ4
			config.Producer.Idempotent = true
			config.Producer.Transaction.ID = "clients-sarama"
			config.Net.MaxOpenRequests = 1
		}
		producer, err := sarama.NewSyncProducer(brokers, config)
		if err != nil {
			return err
		}
		defer producer.Close()
		if !transactional {
			return producer.SendMessages(saramaMessages(orders))
		}
		if err := producer.BeginTxn(); err != nil {
			return err
		}
		if err := producer.SendMessages(saramaMessages(aborted)); err != nil {
			return err
		}
		if err := producer.AbortTxn(); err != nil {
			return err
		}
		if err := producer.BeginTxn(); err != nil {
			return err
		}
		if err := producer.SendMessages(saramaMessages(orders)); err != nil {
			return err
		}
		return producer.CommitTxn()
	}
}

func saramaMessages(orders []order) []*sarama.ProducerMessage {
	var messages []*sarama.ProducerMessage
	for _, order := range orders {
		messages = append(messages, &sarama.ProducerMessage{
			Topic: topic,
			Key:   sarama.StringEncoder(order.OrderID),
			Value: sarama.ByteEncoder(order.text()),
		})
	}
	return messages
}
