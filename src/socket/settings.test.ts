import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { EINVAL } from "./errno.js";
import { type ConfigValue, SocketSettings, type TransportParamValue } from "./settings.js";
import { config, transportParam } from "./structs.js";

function params(given: Partial<TransportParamValue>): TransportParamValue {
  return transportParam.decode(transportParam.encode(given));
}

function settings(given: Partial<ConfigValue>): ConfigValue {
  return config.decode(config.encode(given));
}

const PARAMS: [name: keyof TransportParamValue, least: number, most: number][] = [
  ["max_udp_payload_size", 1200, 65_527],
  ["max_ack_delay", 1, 16_383_999],
  ["active_connection_id_limit", 2, 8],
  ["max_idle_timeout", 1_000_000, 2 ** 32 - 1],
  ["max_datagram_frame_size", 1200, 65_535],
  ["max_data", 1200, 536_870_911],
  ["max_stream_data_bidi_local", 1200, 268_435_455],
  ["max_stream_data_bidi_remote", 1200, 268_435_455],
  ["max_stream_data_uni", 1200, 268_435_455],
  ["max_streams_bidi", 1, 4096],
  ["max_streams_uni", 1, 4096],
];

const CONFIG: [name: keyof ConfigValue, least: number, most: number][] = [
  ["plpmtud_probe_interval", 5_000_000, Math.floor((2 ** 32 - 1) / 30)],
  ["initial_smoothed_rtt", 1_000, 6_000_000],
  ["payload_cipher_type", 51, 54],
  ["congestion_control_algo", 1, 2],
  ["validate_peer_address", 1, 1],
  ["stream_data_nodelay", 1, 1],
  ["certificate_request", 1, 3],
  ["keepalive_probe_interval", 1_500_000, 2 ** 32 - 1],
];

const FIELD_MAX: Partial<Record<string, number>> = {
  max_udp_payload_size: 65_535,
  max_datagram_frame_size: 65_535,
  max_idle_timeout: 2 ** 32 - 1,
  keepalive_probe_interval: 2 ** 32 - 1,
};

describe("option TRANSPORT_PARAM", () => {
  for (const [name, least, most] of PARAMS) {
    test(`${name} is ${least} to ${most}, and 0 keeps it`, () => {
      const one = new SocketSettings();
      for (const value of [least, most]) {
        assert.equal(one.setParams(params({ [name]: value })), 0);
        assert.equal(one.params[name], value);
      }
      if (least > 1) assert.equal(one.setParams(params({ [name]: least - 1 })), -EINVAL);
      if (most < (FIELD_MAX[name] ?? Infinity)) assert.equal(one.setParams(params({ [name]: most + 1 })), -EINVAL);
      assert.equal(one.setParams(params({})), 0);
      assert.equal(one.params[name], most);
    });
  }

  test("a flag can be switched on, not off", () => {
    const one = new SocketSettings();
    assert.equal(one.setParams(params({ grease_quic_bit: 1 })), 0);
    assert.equal(one.setParams(params({ grease_quic_bit: 0, max_data: 5000 })), 0);
    assert.deepEqual([one.params.grease_quic_bit, one.params.max_data], [1, 5000]);
  });

  test("a set that is refused changes nothing", () => {
    const one = new SocketSettings();
    const before = { ...one.params };
    assert.equal(one.setParams(params({ max_data: 5000, grease_quic_bit: 1, max_udp_payload_size: 9 })), -EINVAL);
    assert.deepEqual(one.params, before);
  });

  test("the defaults are Linux's", () => {
    const { max_data, max_stream_data_uni, max_streams_bidi, max_idle_timeout } = new SocketSettings().params;
    assert.deepEqual(
      [max_data, max_stream_data_uni, max_streams_bidi, max_idle_timeout],
      [2_097_120, 1_048_560, 100, 30_000_000],
    );
  });
});

describe("option CONFIG", () => {
  for (const [name, least, most] of CONFIG) {
    test(`${name} is ${least} to ${most}, and 0 keeps it`, () => {
      const one = new SocketSettings();
      assert.equal(one.setConfig(settings({ [name]: most })), 0);
      if (least > 1) assert.equal(one.setConfig(settings({ [name]: least - 1 })), -EINVAL);
      if (most < (FIELD_MAX[name] ?? Infinity)) assert.equal(one.setConfig(settings({ [name]: most + 1 })), -EINVAL);
      assert.equal(one.setConfig(settings({ [name]: 0 })), 0);
      assert.equal(one.config[name], most);
    });
  }

  test("any version is kept: an unknown one makes a client start version negotiation", () => {
    const one = new SocketSettings();
    assert.equal(one.setConfig(settings({ version: 123 })), 0);
    assert.equal(one.config.version, 123);
  });

  test("an accepted socket begins with its listener's settings, and has its own then", () => {
    const listener = new SocketSettings();
    listener.setParams(params({ max_data: 5000 }));
    const child = new SocketSettings();
    child.inherit(listener);
    child.setParams(params({ max_data: 6000 }));
    assert.deepEqual([listener.params.max_data, child.params.max_data], [5000, 6000]);
  });
});
