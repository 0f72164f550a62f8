import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.apicurio.registry.serde.avro.AvroKafkaSerializer;
import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import java.util.function.Function;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.IntegerSerializer;
import org.apache.kafka.common.serialization.LongSerializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaBuilder;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.json.JsonConverter;

/**
 * Writes orders with Apache Kafka's Java client, case by case as stdin asks. The protocol:
 * ../writers.py.
 */
public class Writer {
  static final ObjectMapper JSON = new ObjectMapper();
  static final String TOPIC = System.getenv("ORDER_STATUS_TOPIC");

  /** Settings of the producer, and how key and value are made of an order. */
  record Way(
      Map<String, Object> settings,
      Function<JsonNode, Object> key,
      Function<JsonNode, Object> value) {}

  public static void main(String[] arguments) throws Exception {
    var cases = cases(Path.of(arguments[0]));
    for (JsonNode job : JSON.readTree(System.in)) {
      var name = job.get("case").asText();
      var answer = JSON.createObjectNode().put("case", name);
      try {
        write(cases.get(name), job.get("orders"), job.get("aborted"));
        answer.putNull("error");
      } catch (Exception problem) {
        answer.put("error", problem + (problem.getCause() == null ? "" : ": " + problem.getCause()));
      }
      System.out.println(answer);
    }
  }

  static Map<String, Way> cases(Path avro) throws Exception {
    var schema = new org.apache.avro.Schema.Parser().parse(Files.readString(avro));
    var cases = new LinkedHashMap<String, Way>();
    Function<JsonNode, Object> id = order -> order.get("order_id").asText();
    Function<JsonNode, Object> json = JsonNode::toString;
    Function<JsonNode, Object> record = order -> record(schema, order);

    var text = settings(StringSerializer.class, StringSerializer.class);
    cases.put("StringSerializer, defaults", new Way(text, id, json));
    cases.put("StringSerializer, snappy", new Way(with(text, "compression.type", "snappy"), id, json));
    cases.put(
        "StringSerializer, zstd, total a number",
        new Way(with(text, "compression.type", "zstd"), id, Writer::withNumber));
    cases.put(
        "StringSerializer, not idempotent",
        new Way(with(text, "enable.idempotence", false, "acks", "1"), id, json));
    cases.put(
        "StringSerializer, transactional",
        new Way(with(text, "transactional.id", "clients-java"), id, json));

    cases.put(
        "LongSerializer key",
        new Way(
            settings(LongSerializer.class, StringSerializer.class),
            order -> order.get("order_id").asLong(),
            json));
    cases.put(
        "IntegerSerializer key",
        new Way(
            settings(IntegerSerializer.class, StringSerializer.class),
            order -> order.get("order_id").asInt(),
            json));

    cases.put("JsonConverter", connect(false));
    cases.put("JsonConverter with schemas", connect(true));

    var apicurio = settings(StringSerializer.class, AvroKafkaSerializer.class);
    apicurio.put(
        "apicurio.registry.url",
        System.getenv("SCHEMA_REGISTRY_URL").replace("/ccompat/v7", "/registry/v2"));
    apicurio.put("apicurio.registry.find-latest", true);
    cases.put(
        "AvroKafkaSerializer, as Confluent's",
        new Way(
            with(
                apicurio,
                "apicurio.registry.as-confluent", true,
                "apicurio.registry.use-id", "contentId",
                "apicurio.registry.headers.enabled", false),
            id,
            record));
    cases.put(
        "AvroKafkaSerializer, 8-byte id",
        new Way(with(apicurio, "apicurio.registry.headers.enabled", false), id, record));
    cases.put(
        "AvroKafkaSerializer, id in a header",
        new Way(with(apicurio, "apicurio.registry.headers.enabled", true), id, record));
    return cases;
  }

  static void write(Way way, JsonNode orders, JsonNode aborted) throws Exception {
    try (var producer = new KafkaProducer<Object, Object>(way.settings())) {
      if (way.settings().containsKey("transactional.id")) {
        producer.initTransactions();
        producer.beginTransaction();
        send(producer, way, aborted);
        producer.abortTransaction();
        producer.beginTransaction();
        send(producer, way, orders);
        producer.commitTransaction();
      } else {
        send(producer, way, orders);
      }
    }
  }

  static void send(KafkaProducer<Object, Object> producer, Way way, JsonNode orders)
      throws Exception {
    var sent = new ArrayList<Future<RecordMetadata>>();
    for (var order : orders) {
      var key = way.key().apply(order);
      sent.add(producer.send(new ProducerRecord<>(TOPIC, key, way.value().apply(order))));
    }
    producer.flush();
    for (var one : sent) {
      one.get();
    }
  }

  static Map<String, Object> settings(Class<?> key, Class<?> value) {
    return with(
        Map.of(),
        "bootstrap.servers", System.getenv("KAFKA_BOOTSTRAP_SERVERS"),
        "client.id", "clients-java",
        "key.serializer", key.getName(),
        "value.serializer", value.getName());
  }

  static Map<String, Object> with(Map<String, Object> settings, Object... more) {
    var all = new LinkedHashMap<>(settings);
    for (int at = 0; at < more.length; at += 2) {
      all.put((String) more[at], more[at + 1]);
    }
    return all;
  }

  static Object withNumber(JsonNode order) {
    var copy = (ObjectNode) order.deepCopy();
    return copy.put("total", new BigDecimal(order.get("total").asText())).toString();
  }

  static GenericRecord record(org.apache.avro.Schema schema, JsonNode order) {
    var record = new GenericData.Record(schema);
    for (var name : List.of("order_id", "status", "currency")) {
      record.put(name, order.get(name).asText());
    }
    var total = new BigDecimal(order.get("total").asText()).setScale(9);
    record.put("total", ByteBuffer.wrap(total.unscaledValue().toByteArray()));
    return record;
  }

  /** As a source connector writes with this converter for keys and values. */
  static Way connect(boolean withSchemas) {
    var keys = new JsonConverter();
    keys.configure(Map.of("schemas.enable", withSchemas), true);
    var values = new JsonConverter();
    values.configure(Map.of("schemas.enable", withSchemas), false);
    var names = List.of("order_id", "status", "total", "currency");
    var schema = SchemaBuilder.struct();
    names.forEach(name -> schema.field(name, Schema.STRING_SCHEMA));
    var built = schema.build();
    return new Way(
        settings(ByteArraySerializer.class, ByteArraySerializer.class),
        order -> keys.fromConnectData(TOPIC, Schema.STRING_SCHEMA, order.get("order_id").asText()),
        order -> {
          var value = new Struct(built);
          names.forEach(name -> value.put(name, order.get(name).asText()));
          return values.fromConnectData(TOPIC, built, value);
        });
  }
}
