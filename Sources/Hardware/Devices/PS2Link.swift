import Primitives

/// IBM PS/2 keyboard and auxiliary port, the serial line from a device to the 8042: bytes waiting in the device and when the next
/// one may arrive.
///
/// Source: IBM *PS/2 Hardware Interface Technical Reference – Common Interfaces* (1990), "Keyboard and Auxiliary Device Controller".
///
/// Not implemented: bits, parity and the clock line; a byte arrives whole.
///
/// Replies to commands overtake data, as a device answers a command before it goes on sending. Data bytes keep the distance of a
/// real line after the host's last read, so that a program that reads port 0x60 twice for one interrupt gets the same byte.
public struct PS2Link: Codable, Equatable, Sendable {
    /// Times in nanoseconds.
    static let replyTime: Nanoseconds = 20_000, testTime: Nanoseconds = 500_000, dataTime: Nanoseconds = 700_000

    /// Answers to commands; `slow` marks the result of a self-test.
    public private(set) var replies: [UInt8] = []
    /// Index in `replies` of a byte that takes `testTime`; -1 = none.
    private var slow = -1
    /// Scan codes or movement packets.
    public private(set) var data: [UInt8] = []
    /// The last byte sent, for the Resend command.
    public private(set) var last: UInt8 = 0
    /// Last time the line or the host did something; the distances count from it.
    private var since: Nanoseconds = 0

    /// When the next byte is there; nil when nothing waits.
    var nextTime: Nanoseconds? {
        if !replies.isEmpty { return since &+ (slow == 0 ? Self.testTime : Self.replyTime) }
        return data.isEmpty ? nil : since &+ Self.dataTime
    }

    var isEmpty: Bool { replies.isEmpty && data.isEmpty }

    /// Answers a command just received.
    mutating func reply(_ bytes: [UInt8], slowIndex: Int = -1, at now: Nanoseconds) {
        // A guest that floods the device with commands and never reads its answers loses the oldest.
        if replies.count > 64 { clearReplies() }
        if slowIndex >= 0 { slow = replies.count + slowIndex }
        replies.append(contentsOf: bytes)
        since = max(since, now)
    }

    mutating func send(_ bytes: [UInt8], at now: Nanoseconds) {
        if isEmpty { since = max(since, now) }
        data.append(contentsOf: bytes)
    }

    /// The device's data buffer overflowed: one overrun code at its end.
    mutating func overrun(_ code: UInt8) { if data.last != code { data.append(code) } }

    mutating func clearData() { data.removeAll() }
    mutating func clearReplies() {
        replies.removeAll()
        slow = -1
    }

    /// Takes the byte that has arrived.
    mutating func take() -> UInt8? {
        if !replies.isEmpty {
            last = replies.removeFirst()
            slow = max(slow - 1, -1)
        } else if !data.isEmpty {
            last = data.removeFirst()
        } else {
            return nil
        }
        return last
    }

    /// The host read a byte of the controller, or wrote one to the device.
    mutating func lineBusy(at now: Nanoseconds) { since = max(since, now) }
}
