"""paho-mqtt: a thread that waits in `select`, and greenlets that wait for what it hears."""

from __future__ import annotations

from typing import Any

import paho.mqtt.client

SERVER = "mqtt"
LATE = TimeoutError

client: Any = None


def begin(servers: Any) -> None:
    global client
    client = paho.mqtt.client.Client(paho.mqtt.client.CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", servers["mqtt"]["port"])
    client.loop_start()


def ask(seconds: float, timeout: float) -> None:
    message = client.publish("topic", f"{seconds}", qos=1)
    message.wait_for_publish(timeout)
    if not message.is_published():
        raise TimeoutError


def a_loop_in_a_greenlet() -> None:
    from trial import green

    other = paho.mqtt.client.Client(paho.mqtt.client.CallbackAPIVersion.VERSION2)
    other.connect("127.0.0.1", client.port)
    task = green.spawn(other.loop_forever)
    message = other.publish("topic", "0.2", qos=1)
    message.wait_for_publish(10)
    assert message.is_published()
    other.disconnect()
    task.get()
