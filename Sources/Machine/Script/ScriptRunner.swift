import Foundation
import Hardware
import Primitives

/// Carries a script out against what the machine shows and says.
///
/// The run loop asks `advance` at its own fixed points, never by sleeping: in virtual-clock mode these depend on the guest
/// alone, so that two runs of a script are the same. Screens are matched when they changed, serial output when there is more.
///
/// Time limits of `wait-for` and `wait-for-serial` are host seconds with the host clock (a slow host must not fail a script
/// that a fast one passes by guest time alone) and guest seconds with the virtual clock.
struct ScriptRunner {
    /// What the machine looks like at one point.
    struct Scene {
        var guestTime: Nanoseconds
        /// Host or guest time by which waits are limited.
        var limitTime: Nanoseconds
        var frame: TextFrame
        /// Changes when `frame` does.
        var frameGeneration: UInt64
        /// Keystrokes on their way.
        var typingLeft: Int
        /// Retired since power-on.
        var instructions: UInt64 = 0
    }
    /// What the run loop has to do for the script.
    enum Action {
        case type(String)
        case typeSerial(port: Int, [UInt8])
        case balloon(mib: Int)
        case keys([KeyChord])
        case screen(path: String)
        case screenshot(path: String)
        case save(path: String)
        case restore(path: String)
        case digest(path: String)
        case goTo(UInt64)
        /// What follows it waits until the debugger has the machine standing, or has nothing to wait for.
        case debug(String)
        case stop
        case fail(String)
    }

    /// A guest that takes no key for so long, in seconds, will not take any.
    private static let stuckSeconds = 60.0

    private let name: String
    private let steps: [Script.Step]
    private var index = 0
    /// When the current step began to wait.
    private var began: (guest: Nanoseconds, limit: Nanoseconds)?
    private var matchedGeneration: UInt64?
    private var lastTypingLeft = 0
    private var typingProgress: Nanoseconds = 0
    private var serial = [SerialTranscript](repeating: SerialTranscript(), count: SerialPump.portCount)

    init(_ script: Script, name: String) {
        steps = script.steps
        self.name = name
    }

    var isFinished: Bool { index >= steps.count }

    /// Whether the current step looks at the screen, so that the loop need not fetch it otherwise.
    var watchesScreen: Bool {
        guard index < steps.count, case .waitFor = steps[index].command else { return false }
        return true
    }

    /// Bytes that the guest sent on a port of `SerialPump`.
    mutating func received(port: Int, _ bytes: [UInt8]) {
        if serial.indices.contains(port), !isFinished { serial[port].append(bytes) }
    }

    /// When the loop should come back although nothing happened, in guest time: the end of a `wait`, and with the virtual clock
    /// the time limits too.
    func nextGuestTime(_ now: Nanoseconds, isVirtual: Bool) -> Nanoseconds? {
        guard index < steps.count, let began else { return nil }
        switch steps[index].command {
        case .wait(let seconds): return began.guest &+ nanoseconds(seconds)
        case .waitFor(_, let seconds), .waitForSerial(_, _, let seconds): return isVirtual ? began.limit &+ nanoseconds(seconds) : nil
        default: return isVirtual ? typingProgress &+ nanoseconds(ScriptRunner.stuckSeconds) : nil
        }
    }

    /// A slice must not go beyond it.
    var nextInstruction: UInt64? {
        guard index < steps.count, case .waitInstructions(let count) = steps[index].command else { return nil }
        return count
    }

    /// Runs steps until one has to wait; returns what is to be done, in order. After `.stop` and `.fail` nothing follows.
    mutating func advance(_ scene: Scene) -> [Action] {
        var actions: [Action] = []
        var typing = scene.typingLeft > 0
        if !typing || scene.typingLeft != lastTypingLeft {
            lastTypingLeft = scene.typingLeft
            typingProgress = scene.limitTime
        }
        while index < steps.count {
            let step = steps[index]
            if typing, !step.command.isInput {
                // What was typed must have reached the guest first, or an old screen would match.
                guard scene.limitTime &- typingProgress >= nanoseconds(ScriptRunner.stuckSeconds) else { return actions }
                let what = "the guest has not taken the keys typed"
                return actions + [.fail(failure(step, what, ScriptRunner.stuckSeconds))]
            }
            let start = began ?? (scene.guestTime, scene.limitTime)
            began = start
            switch step.command {
            case .waitFor(let pattern, let seconds):
                if matchedGeneration != scene.frameGeneration {
                    matchedGeneration = scene.frameGeneration
                    // Cut rows let `$` end a line; a pattern such as "/ # " wants the blank before the cursor.
                    if pattern.matches(scene.frame.text) || pattern.matches(scene.frame.fullText) { break }
                }
                guard scene.limitTime &- start.limit >= nanoseconds(seconds) else { return actions }
                return actions + [.fail(failure(step, "the screen did not match '\(pattern.source)'", seconds))]
            case .waitForSerial(let port, let pattern, let seconds):
                if serial[port].match(pattern) { break }
                guard scene.limitTime &- start.limit >= nanoseconds(seconds) else { return actions }
                return actions + [.fail(failure(step, "\(SerialPump.label(port)) did not say '\(pattern.source)'", seconds))]
            case .wait(let seconds):
                guard scene.guestTime &- start.guest >= nanoseconds(seconds) else { return actions }
            case .type(let text):
                actions.append(.type(text))
                typing = true
            case .keys(let chords):
                actions.append(.keys(chords))
                typing = true
            case .typeSerial(let port, let bytes): actions.append(.typeSerial(port: port, bytes))
            case .balloon(let mib): actions.append(.balloon(mib: mib))
            case .screen(let path): actions.append(.screen(path: path))
            case .screenshot(let path): actions.append(.screenshot(path: path))
            case .digest(let path): actions.append(.digest(path: path))
            case .debug(let command):
                actions.append(.debug(command))
                index += 1
                began = nil
                return actions
            case .save(let path): actions.append(.save(path: path))
            case .goTo(let instruction): actions.append(.goTo(instruction))
            case .restore(let path):
                // What follows is about the machine as it is then.
                actions.append(.restore(path: path))
                index += 1
                began = nil
                return actions
            case .waitInstructions(let count): guard scene.instructions >= count else { return actions }
            case .stop: return actions + [.stop]
            }
            index += 1
            began = nil
            matchedGeneration = nil
            // The loop starts to type before it asks again.
            if typing { typingProgress = scene.limitTime }
        }
        return actions
    }

    private func failure(_ step: Script.Step, _ what: String, _ seconds: Double) -> String {
        let limit = seconds == seconds.rounded() ? String(Int(seconds)) : String(seconds)
        return "\(name), line \(step.line): \(what) within \(limit) seconds."
    }

    private func nanoseconds(_ seconds: Double) -> Nanoseconds { Nanoseconds(seconds * 1e9) }
}

/// What one serial port said since the last match, as UTF-8; bytes that are not UTF-8 count as U+FFFD.
private struct SerialTranscript {
    private var bytes: [UInt8] = []
    /// The pattern that did not match the bytes as they are: no need to try it again.
    private var missed: String?
    /// Enough for a whole boot log; older bytes are dropped.
    private static let limit = 1 << 20

    mutating func append(_ more: [UInt8]) {
        bytes += more
        if bytes.count > SerialTranscript.limit { bytes.removeFirst(bytes.count - SerialTranscript.limit / 2) }
        missed = nil
    }

    /// Whether the pattern matches; what it matched, and all before, is then used up.
    mutating func match(_ pattern: Script.Pattern) -> Bool {
        guard missed != pattern.source else { return false }
        guard let rest = pattern.afterMatch(in: String(decoding: bytes, as: UTF8.self)) else {
            missed = pattern.source
            return false
        }
        bytes = Array(rest.utf8)
        missed = nil
        return true
    }
}
