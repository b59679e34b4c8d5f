import ArgumentParser
import Hardware
import Machine
import Primitives

/// Values of options that are more than text and numbers. Each throws a `ValidationError` with a sentence.
enum OptionValue {
    static func bootOrder(_ text: String) throws -> [RunSettings.BootDevice] {
        guard !text.isEmpty else { throw ValidationError("a boot order consists of the letters a, c, d and n") }
        return try valid { () throws(MachineError) in try SettingText.bootOrder(text) }
    }

    static func trace(_ text: String) throws -> TraceCategories {
        try valid { () throws(MachineError) in try TraceCategories(words: text.split(separator: ",").map(String.init)) }
    }

    static func engine(_ text: String) throws -> RunSettings.Engine { try word(text) }
    static func clock(_ text: String) throws -> RunSettings.Clock { try word(text) }

    static func palette(_ text: String) throws -> RunSettings.Palette { try word(text) }
    static func codePage(_ text: String) throws -> CodePage { try word(text) }

    static func diskInterface(_ text: String) throws -> RunSettings.DiskInterface { try word(text) }

    static func diskAccess(_ text: String) throws -> RunSettings.DiskAccess { try word(text) }

    private static func word<T: CaseIterable & RawRepresentable>(_ text: String) throws -> T where T.RawValue == String {
        guard let value = T(rawValue: text) else {
            throw ValidationError("use one of \(T.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        return value
    }

    static func serial(_ text: String) throws -> SerialTarget { try valid { () throws(MachineError) in try SerialTarget(text) } }

    /// `0x402`, `402h` or decimal.
    static func port(_ text: String) throws -> UInt16 { try valid { () throws(MachineError) in try SettingText.port(text) } }

    static func gdb(_ text: String) throws -> GDBAddress { try valid { () throws(MachineError) in try GDBAddress(text) } }

    static func debugConsole(_ text: String) throws -> RunSettings.DebugConsole {
        try valid { () throws(MachineError) in try SettingText.debugConsole(text) }
    }

    /// A date with or without a time of day, in UTC unless an offset follows; seconds since 1970.
    static func date(_ text: String) throws -> Int64 { try valid { () throws(MachineError) in try SettingText.date(text) } }

    private static func valid<T>(_ body: () throws(MachineError) -> T) throws -> T {
        do throws(MachineError) {
            return try body()
        } catch {
            throw ValidationError(error.description)
        }
    }
}
