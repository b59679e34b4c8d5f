import Hardware
import Primitives

/// Keystrokes waiting to be typed, released at the pace at which the guest takes them.
///
/// Every make and break goes out alone: when the keyboard has nothing left to deliver (`ready`) and at least `gap` of guest
/// time after the one before. Nothing here knows the host's time, so a script types the same way in every run.
public struct TypingQueue: Sendable {
    public struct Event: Codable, Equatable, Sendable {
        public var key: PCKey
        public var down: Bool
    }

    /// Between two events, in nanoseconds of guest time. The PC keyboard itself needs about 1 ms for a scan code on its wire.
    public static let gap: Nanoseconds = 2_000_000

    struct Item: Codable, Sendable {
        var stroke: KeyboardLayout.Keystroke?
        var chord: [PCKey] = []
    }

    /// What is being typed, for saved state.
    struct Saved: Codable, Sendable {
        var items: [Item]
        /// Of the item under way, and how many have gone out.
        var events: [Event]
        var nextEvent: Int
        var earliest: Nanoseconds
        var left: Int, total: Int
    }

    var saved: Saved {
        Saved(items: Array(items[min(next, items.count)...]), events: events, nextEvent: nextEvent, earliest: earliest, left: left, total: total)
    }

    /// Goes on with what was being typed. A count that cannot be leaves the queue empty.
    mutating func restore(_ saved: Saved) {
        self = TypingQueue(layout: layout)
        let underWay = saved.nextEvent < saved.events.count ? 1 : 0
        guard (0...saved.events.count).contains(saved.nextEvent), saved.left == saved.items.count + underWay else { return }
        (items, events, nextEvent, earliest) = (saved.items, saved.events, saved.nextEvent, saved.earliest)
        (left, total) = (saved.left, max(saved.left, saved.total))
    }

    public let layout: KeyboardLayout
    private var items: [Item] = []
    private var next = 0
    private var events: [Event] = []
    private var nextEvent = 0
    private var earliest: Nanoseconds = 0
    /// Characters and chords still to go, and of how many since the queue was last empty.
    public private(set) var left = 0, total = 0
    /// Characters for which the layout has no key; they were left out.
    public private(set) var untypable: [Character] = []

    public init(layout: KeyboardLayout = .us) { self.layout = layout }

    public var isEmpty: Bool { left == 0 }
    /// Guest time before which nothing goes out; nil when there is nothing.
    public var nextTime: Nanoseconds? { isEmpty ? nil : earliest }

    public mutating func append(text: String) {
        begin()
        for character in text {
            guard let stroke = layout.keystroke(for: character) else {
                if untypable.count < 64 { untypable.append(character) }
                continue
            }
            items.append(Item(stroke: stroke))
            left += 1
            total += 1
        }
    }

    public mutating func append(chord: KeyChord) {
        begin()
        items.append(Item(chord: chord.keys))
        left += 1
        total += 1
    }

    /// Forgets what has not been typed; keys that are down are returned, for the caller to release.
    public mutating func clear() -> [PCKey] {
        var down: [PCKey] = []
        for event in events[..<nextEvent] {
            if event.down { down.append(event.key) } else { down.removeAll { $0 == event.key } }
        }
        self = TypingQueue(layout: layout)
        return down.reversed()
    }

    /// The next event, if it is time for it.
    /// - Parameters:
    ///   - ready: the guest has taken everything typed so far.
    ///   - capsLock: the guest's Caps Lock light is on, so letters come out in the other case.
    public mutating func take(now: Nanoseconds, ready: Bool, capsLock: Bool) -> Event? {
        guard left > 0, ready, now >= earliest else { return nil }
        if nextEvent == events.count { expand(capsLock: capsLock) }
        let event = events[nextEvent]
        nextEvent += 1
        earliest = now &+ TypingQueue.gap
        if nextEvent == events.count {
            left -= 1
            if left == 0 {
                items.removeAll()
                next = 0
            }
        }
        return event
    }

    private mutating func begin() {
        if left == 0 { total = 0 }
    }

    /// The makes and breaks of the next item into `events`.
    private mutating func expand(capsLock: Bool) {
        let item = items[next]
        next += 1
        var keys = item.chord
        if let stroke = item.stroke {
            let shift = stroke.shift != (capsLock && TypingQueue.isLetter(stroke.key))
            keys = (shift ? [.leftShift] : []) + (stroke.altGr ? [.rightAlt] : []) + [stroke.key]
        }
        events = keys.map { Event(key: $0, down: true) } + keys.reversed().map { Event(key: $0, down: false) }
        nextEvent = 0
    }

    private static func isLetter(_ key: PCKey) -> Bool { key.rawValue.count == 1 }
}
