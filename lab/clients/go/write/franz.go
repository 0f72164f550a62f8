package main

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"
)

func franzClient(more ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(brokers...),
		kgo.DefaultProduceTopic(topic),
	}, more...)...)
}

func franzRecords(orders []order) []*kgo.Record {
	var records []*kgo.Record
	for _, order := range orders {
		records = append(records, &kgo.Record{Key: []byte(order.OrderID), Value: order.text()})
	}
	return records
}

func franz(more ...kgo.Opt) writer {
	return func(orders, _ []order) error {
		client, err := franzClient(more...)
		if err != nil {
			return err
		}
		defer client.Close()
		return client.ProduceSync(context.Background(), franzRecords(orders)...).FirstErr()
	}
}

func franzTransactional(orders, aborted []order) error {
	client, err := franzClient(
		kgo.TransactionalID("clients-franz-go"),
		kgo.ProducerBatchCompression(kgo.ZstdCompression()),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	transaction := func(orders []order, end kgo.TransactionEndTry) error {
		if err := client.BeginTransaction(); err != nil {
			return err
		}
		ctx := context.Background()
		if err := client.ProduceSync(ctx, franzRecords(orders)...).FirstErr(); err != nil {
			return err
		}
		return client.EndTransaction(ctx, end)
	}
	if err := transaction(aborted, kgo.TryAbort); err != nil {
		return err
	}
	return transaction(orders, kgo.TryCommit)
}
