import Hardware
import Terminal

/// One key of the guest's keyboard goes down or up.
public struct KeyChange: Equatable, Sendable, CustomStringConvertible {
    public var key: PCKey
    public var down: Bool
    public init(_ key: PCKey, down: Bool) {
        self.key = key
        self.down = down
    }
    public var description: String { (down ? "+" : "-") + key.rawValue }
}

/// Turns what the terminal reports into a keyboard that can be left in no impossible state.
///
/// With a terminal that reports releases, keys go down and up as they do; otherwise every key is a whole chord: modifiers down,
/// key down and up, modifiers up. Three repairs, each for something that terminals were seen to do: an up without a down is
/// dropped (the Enter that captured is released afterwards); modifiers follow the mask of every event (a terminal's own shortcut
/// swallows releases); everything goes up when the keyboard is taken away.
public struct GuestKeyboard: Sendable {
    /// The keyboard that the guest believes in.
    public var layout: KeyLayout
    /// The terminal reports presses and releases.
    public var reportsReleases = false
    /// The guest's Caps Lock light: characters of chord terminals carry their case already.
    public var capsLockIsOn = false
    /// Keys that are down, in the order of their presses.
    public private(set) var down: [PCKey] = []
    /// Modifiers that go down with the next key.
    public private(set) var held: [PCKey] = []
    /// Held modifiers that are down until `heldUntil` goes up.
    private var heldUntil: PCKey?

    public init(layout: KeyLayout) { self.layout = layout }

    /// A modifier for the next key, or no longer.
    public mutating func toggleHold(_ key: PCKey) {
        if let i = held.firstIndex(of: key) { held.remove(at: i) } else { held.append(key) }
    }

    /// - Returns: what changes; nil when no key of the layout makes the character.
    public mutating func take(_ event: KeyEvent) -> [KeyChange]? {
        reportsReleases || event.scanCode != nil ? takePosition(event) : takeChord(event)
    }

    /// Everything that is down goes up, modifiers last.
    public mutating func releaseAll() -> [KeyChange] {
        let modifiers = down.filter { GuestKeyboard.modifierClass($0) != nil }
        let others = down.filter { GuestKeyboard.modifierClass($0) == nil }
        down = []
        heldUntil = nil
        return (others.reversed() + modifiers.reversed()).map { KeyChange($0, down: false) }
    }

    // MARK: Terminals that report releases

    private mutating func takePosition(_ event: KeyEvent) -> [KeyChange]? {
        guard let key = position(event) else {
            // No position: what the key would type, as a chord.
            if event.kind == .release { return [] }
            if case .named = event.key { return takeNamedChord(event) }
            var typed = event
            if let scalar = event.text?.unicodeScalars.first ?? event.shifted { typed.key = .character(scalar) }
            return takeChord(typed)
        }
        var changes = reconcile(event.modifiers, except: GuestKeyboard.modifierClass(key))
        switch event.kind {
        case .repeat:
            // The emulated keyboard repeats by itself while the key is down.
            break
        case .press:
            if !held.isEmpty, GuestKeyboard.modifierClass(key) == nil {
                for modifier in held where !down.contains(modifier) { changes.append(press(modifier)) }
                heldUntil = key
            }
            changes.append(press(key))
        case .release:
            guard down.contains(key) else { return changes }
            changes.append(lift(key))
            if heldUntil == key {
                for modifier in held.reversed() where down.contains(modifier) { changes.append(lift(modifier)) }
                held = []
                heldUntil = nil
            }
        }
        return changes
    }

    private func position(_ event: KeyEvent) -> PCKey? {
        if let code = event.scanCode, let key = KeyPositions.scanCode(code) { return key }
        switch event.key {
        case .named(let name): return KeyPositions.named(name)
        case .character(let scalar): return KeyPositions.us(event.base ?? scalar)
        }
    }

    private mutating func press(_ key: PCKey) -> KeyChange {
        if !down.contains(key) { down.append(key) }
        return KeyChange(key, down: true)
    }

    private mutating func lift(_ key: PCKey) -> KeyChange {
        down.removeAll { $0 == key }
        return KeyChange(key, down: false)
    }

    private static let classes: [(mask: Modifiers, left: PCKey, right: PCKey)] = [
        (.ctrl, .leftCtrl, .rightCtrl), (.alt, .leftAlt, .rightAlt), (.shift, .leftShift, .rightShift), (.super, .leftWin, .rightWin),
    ]

    private static func modifierClass(_ key: PCKey) -> Modifiers? {
        classes.first { $0.left == key || $0.right == key }?.mask
    }

    /// Makes the modifiers agree with the mask of an event; a modifier's own event says nothing reliable about itself.
    private mutating func reconcile(_ mask: Modifiers, except own: Modifiers?) -> [KeyChange] {
        var changes: [KeyChange] = []
        for entry in GuestKeyboard.classes where entry.mask != own {
            let isDown = down.contains(entry.left) || down.contains(entry.right)
            if mask.contains(entry.mask), !isDown {
                changes.append(press(entry.left))
            } else if !mask.contains(entry.mask), isDown {
                // AltGr (right Alt) is no Alt in the mask; modifiers of our own are not the terminal's.
                for key in [entry.left, entry.right] where down.contains(key) && key != .rightAlt && !held.contains(key) {
                    changes.append(lift(key))
                }
            }
        }
        return changes
    }

    // MARK: Terminals that report characters

    private mutating func takeChord(_ event: KeyEvent) -> [KeyChange]? {
        guard event.kind != .release else { return [] }
        guard case .character(let scalar) = event.key else { return takeNamedChord(event) }
        var modifiers = chordModifiers(event.modifiers)
        guard let strokes = layout[scalar] else { return altCode(scalar) }
        var changes: [KeyChange] = []
        for stroke in strokes {
            guard let key = PCKey(rawValue: stroke.position) else { return nil }
            var shift = stroke.shift || (scalar == " " && event.modifiers.contains(.shift))
            if capsLockIsOn, strokes.count == 1, scalar.properties.isAlphabetic, modifiers.isEmpty { shift.toggle() }
            changes += wrapped(key, modifiers + (stroke.altGr ? [.rightAlt] : []) + (shift ? [.leftShift] : []))
            modifiers = []
        }
        return changes
    }

    private mutating func takeNamedChord(_ event: KeyEvent) -> [KeyChange]? {
        guard case .named(let name) = event.key else { return nil }
        let modifiers = chordModifiers(event.modifiers)
        if let key = KeyPositions.named(name) {
            if GuestKeyboard.modifierClass(key) != nil { return tap(key) }
            return wrapped(key, modifiers + (event.modifiers.contains(.shift) ? [.leftShift] : []))
        }
        if let key = KeyPositions.shifted(name) { return wrapped(key, modifiers + [.leftShift]) }
        return name == .other ? [] : nil
    }

    private func chordModifiers(_ mask: Modifiers) -> [PCKey] {
        (mask.contains(.super) ? [.leftWin] : []) + (mask.contains(.ctrl) ? [.leftCtrl] : []) + (mask.contains(.alt) ? [.leftAlt] : [])
    }

    private func tap(_ key: PCKey) -> [KeyChange] { [KeyChange(key, down: true), KeyChange(key, down: false)] }

    private mutating func wrapped(_ key: PCKey, _ modifiers: [PCKey]) -> [KeyChange] {
        let all = held.filter { !modifiers.contains($0) } + modifiers
        held = []
        // What a releasing terminal holds down already needs no second make.
        let around = all.filter { !down.contains($0) }
        return around.map { KeyChange($0, down: true) } + tap(key) + around.reversed().map { KeyChange($0, down: false) }
    }

    /// DOS, Windows and the Linux console take a character's code typed on the keypad with Alt held.
    private mutating func altCode(_ scalar: Unicode.Scalar) -> [KeyChange]? {
        guard let code = Glyphs.byte(for: scalar.value), code >= 0x80 else { return nil }
        let digits: [PCKey] = [.kp0, .kp1, .kp2, .kp3, .kp4, .kp5, .kp6, .kp7, .kp8, .kp9]
        let typed = [Int(code) / 100, Int(code) / 10 % 10, Int(code) % 10].flatMap { tap(digits[$0]) }
        return [KeyChange(.leftAlt, down: true)] + typed + [KeyChange(.leftAlt, down: false)]
    }

    // MARK: Chords from menus and keymaps

    /// A whole chord, whatever the terminal reports; sequences of strokes for characters with dead keys.
    public mutating func chord(_ chord: Chord) -> [KeyChange]? {
        takeChord(KeyEvent(chord.key, chord.modifiers))
    }

    /// The kernel's SysRq keys: Alt and Print Screen held, then the letter.
    public mutating func sysRq(_ letter: Unicode.Scalar) -> [KeyChange]? {
        guard let key = layout[letter]?.first.flatMap({ PCKey(rawValue: $0.position) }) else { return nil }
        return [KeyChange(.leftAlt, down: true), KeyChange(.printScreen, down: true)] + tap(key)
            + [KeyChange(.printScreen, down: false), KeyChange(.leftAlt, down: false)]
    }
}
