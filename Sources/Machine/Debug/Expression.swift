import Primitives

/// What expressions are about: one processor's registers, its memory and the symbols.
protocol ExpressionContext {
    /// nil: there is no such register.
    func register(_ name: String) -> UInt64?
    /// Written with a `$`: nothing else was meant.
    func marked(_ name: String) -> UInt64?
    func symbol(_ name: String) -> UInt64?
    /// Linear address of a far pointer; nil: there is no such segment.
    func linear(selector: UInt64, offset: UInt64) -> UInt64?
    /// Base of a segment register by name.
    func base(ofSegment name: String) -> UInt64?
    /// nil: it is not memory.
    func load(_ address: UInt64, bytes: Int, physical: Bool) -> UInt64?
    /// 2, 4 or 8: what `[x]` reads without a size.
    var wordBytes: Int { get }
}

/// What is wrong with an expression: one sentence.
struct ExpressionError: Error, Equatable {
    var sentence: String
}

/// An expression over registers, memory and symbols: 64-bit unsigned arithmetic that wraps.
///
/// Numbers: `0x1f`, `1fh`, `0b101`, `0n10` (decimal), `0o17`, `'A'`; others in the radix asked for, and in hexadecimal beside a `:` or with a
/// letter in them. A name is a register, else a symbol, else a hexadecimal number; `$name` and `%name` are registers, `!name` a symbol.
/// `a:b` is the linear address of a far pointer; `[x]`, `byte [x]`, `word ptr ds:[x]`, `phys:[x]` read memory. Operators as in C, and
/// `and or xor not shl shr mod`.
indirect enum Expression: Equatable, Sendable {
    case number(UInt64)
    case register(String)
    case symbol(String)
    case name(String, hex: UInt64?)
    case memory(Expression, bytes: Int, space: Space)
    case far(Expression, Expression)
    case unary(Operator, Expression)
    case binary(Operator, Expression, Expression)

    enum Space: Equatable, Sendable {
        case linear, physical
        case segment(String)
    }
    enum Operator: String, Sendable {
        case add = "+", subtract = "-", multiply = "*", divide = "/", modulo = "%", and = "&", or = "|", xor = "^", shiftLeft = "<<", shiftRight = ">>"
        case equal = "==", notEqual = "!=", less = "<", lessEqual = "<=", greater = ">", greaterEqual = ">=", both = "&&", either = "||"
        case not = "!", invert = "~"
    }

    /// Longer ones are refused; so are deeper ones.
    static let textLimit = 1024
    fileprivate static let depthLimit = 48

    /// - Parameter radix: of plain numbers, 10 or 16.
    init(_ text: String, radix: Int = 10) throws(ExpressionError) {
        var parser = try ExpressionParser(text, radix: radix)
        self = try parser.whole()
    }

    func value(_ context: some ExpressionContext) throws(ExpressionError) -> UInt64 {
        switch self {
        case .number(let value): return value
        case .register(let name):
            guard let value = context.marked(name) else { throw ExpressionError(sentence: "There is no register '\(name)'.") }
            return value
        case .symbol(let name):
            guard let value = context.symbol(name) else { throw ExpressionError(sentence: "There is no symbol '\(name)'.") }
            return value
        case .name(let name, let hex):
            if let value = context.register(name) ?? context.symbol(name) ?? hex { return value }
            throw ExpressionError(sentence: "'\(name)' is neither a register nor a symbol.")
        case .memory(let address, let bytes, let space):
            let offset = try address.value(context)
            var place = offset
            if case .segment(let name) = space {
                guard let base = context.base(ofSegment: name) else { throw ExpressionError(sentence: "There is no segment register '\(name)'.") }
                place = base &+ offset
            }
            let size = bytes == 0 ? context.wordBytes : bytes
            guard let value = context.load(place, bytes: size, physical: space == .physical) else {
                throw ExpressionError(sentence: "There is no memory at \(String(place, radix: 16)).")
            }
            return value
        case .far(let selector, let offset):
            let (high, low) = (try selector.value(context), try offset.value(context))
            if case .register(let name) = selector, let base = context.base(ofSegment: name) { return base &+ low }
            if case .name(let name, _) = selector, let base = context.base(ofSegment: name) { return base &+ low }
            guard let linear = context.linear(selector: high, offset: low) else {
                throw ExpressionError(sentence: "There is no segment \(String(high, radix: 16)).")
            }
            return linear
        case .unary(let op, let operand):
            let value = try operand.value(context)
            switch op {
            case .subtract: return 0 &- value
            case .invert: return ~value
            case .not: return value == 0 ? 1 : 0
            default: return value
            }
        case .binary(.both, let left, let right):
            guard try left.value(context) != 0 else { return 0 }
            return try right.value(context) != 0 ? 1 : 0
        case .binary(.either, let left, let right):
            guard try left.value(context) == 0 else { return 1 }
            return try right.value(context) != 0 ? 1 : 0
        case .binary(let op, let left, let right): return try Expression.apply(op, left.value(context), right.value(context))
        }
    }

    private static func apply(_ op: Operator, _ a: UInt64, _ b: UInt64) throws(ExpressionError) -> UInt64 {
        switch op {
        case .add: return a &+ b
        case .subtract: return a &- b
        case .multiply: return a &* b
        case .divide, .modulo:
            guard b != 0 else { throw ExpressionError(sentence: "Division by zero.") }
            return op == .divide ? a / b : a % b
        case .and: return a & b
        case .or: return a | b
        case .xor: return a ^ b
        case .shiftLeft: return b < 64 ? a << b : 0
        case .shiftRight: return b < 64 ? a >> b : 0
        case .equal: return a == b ? 1 : 0
        case .notEqual: return a != b ? 1 : 0
        case .less: return a < b ? 1 : 0
        case .lessEqual: return a <= b ? 1 : 0
        case .greater: return a > b ? 1 : 0
        case .greaterEqual: return a >= b ? 1 : 0
        case .both, .either, .not, .invert: return 0
        }
    }

    /// The far pointer that the whole expression is, as selector and offset.
    func farParts(_ context: some ExpressionContext) throws(ExpressionError) -> (selector: UInt64, offset: UInt64)? {
        guard case .far(let selector, let offset) = self else { return nil }
        return (try selector.value(context), try offset.value(context))
    }
}

private struct ExpressionParser {
    enum Token: Equatable {
        case number(UInt64)
        /// A word; `hex`: what it is as a hexadecimal number.
        case word(String, hex: UInt64?)
        case register(String)
        case symbol(String)
        case sign(String)
    }

    private var tokens: [Token] = []
    private var at = 0
    private var depth = 0

    init(_ text: String, radix: Int) throws(ExpressionError) {
        guard text.utf8.count <= Expression.textLimit else { throw ExpressionError(sentence: "The expression is too long.") }
        let bytes = Array(text.utf8)
        var n = 0
        while n < bytes.count {
            let byte = bytes[n]
            if byte == 0x20 || byte == 9 {
                n += 1
            } else if ExpressionParser.isWord(byte) {
                let start = n
                while n < bytes.count, ExpressionParser.isWord(bytes[n]) { n += 1 }
                var isFar = start > 0 && bytes[..<start].last { $0 != 0x20 } == UInt8(ascii: ":")
                if bytes[n...].first(where: { $0 != 0x20 }) == UInt8(ascii: ":") { isFar = true }
                tokens.append(try ExpressionParser.word(String(decoding: bytes[start..<n], as: UTF8.self), radix: isFar ? 16 : radix))
            } else if byte == UInt8(ascii: "$") || byte == UInt8(ascii: "%") && ExpressionParser.beginsOperand(tokens.last) {
                let start = n + 1
                n = start
                while n < bytes.count, ExpressionParser.isWord(bytes[n]) { n += 1 }
                guard n > start else { throw ExpressionError(sentence: "'\(Character(UnicodeScalar(byte)))' needs the name of a register.") }
                tokens.append(.register(String(decoding: bytes[start..<n], as: UTF8.self).lowercased()))
            } else if byte == UInt8(ascii: "'") {
                guard n + 2 < bytes.count, bytes[n + 2] == byte else { throw ExpressionError(sentence: "A character is written as 'A'.") }
                tokens.append(.number(UInt64(bytes[n + 1])))
                n += 3
            } else {
                let two = n + 1 < bytes.count ? String(decoding: bytes[n...(n + 1)], as: UTF8.self) : ""
                if ["==", "!=", "<=", ">=", "<<", ">>", "&&", "||"].contains(two) {
                    tokens.append(.sign(two))
                    n += 2
                } else {
                    let one = String(decoding: [byte], as: UTF8.self)
                    guard "+-*/%&|^<>!~()[]:=".utf8.contains(byte) else { throw ExpressionError(sentence: "'\(one)' has no meaning in an expression.") }
                    tokens.append(.sign(one == "=" ? "==" : one))
                    n += 1
                }
            }
        }
    }

    private static func isWord(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte) || byte == 0x5F || byte == 0x2E || byte == 0x40
            || byte >= 0x80
    }

    /// What follows begins an operand.
    private static func beginsOperand(_ last: Token?) -> Bool {
        guard let last else { return true }
        if case .sign(let sign) = last { return sign != ")" && sign != "]" }
        return false
    }

    private static func word(_ text: String, radix: Int) throws(ExpressionError) -> Token {
        let lower = text.lowercased()
        func digits(_ part: some StringProtocol, _ radix: Int) throws(ExpressionError) -> Token {
            guard let value = UInt64(part, radix: radix) else { throw ExpressionError(sentence: "'\(text)' is not a number of 64 bits.") }
            return .number(value)
        }
        guard let first = lower.utf8.first else { return .number(0) }
        let hex = lower.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) } ? UInt64(lower, radix: 16) : nil
        if (0x30...0x39).contains(first) {
            if lower.hasPrefix("0x") { return try digits(lower.dropFirst(2), 16) }
            if lower.hasPrefix("0n") { return try digits(lower.dropFirst(2), 10) }
            if lower.hasPrefix("0o") { return try digits(lower.dropFirst(2), 8) }
            if lower.hasSuffix("h") { return try digits(lower.dropLast(), 16) }
            // Of `0b1` nobody knows which radix was meant but the one who set it.
            if lower.hasPrefix("0b"), radix == 10 { return try digits(lower.dropFirst(2), 2) }
            if lower.utf8.allSatisfy({ (0x30...0x39).contains($0) }) { return try digits(lower, radix) }
            if let hex { return .number(hex) }
            throw ExpressionError(sentence: "'\(text)' is not a number.")
        }
        if hex == nil, lower.hasSuffix("h"), lower.count > 2, let value = UInt64(lower.dropLast(), radix: 16) { return .word(text, hex: value) }
        return .word(text, hex: hex)
    }

    // MARK: Grammar

    mutating func whole() throws(ExpressionError) -> Expression {
        guard !tokens.isEmpty else { throw ExpressionError(sentence: "The expression is empty.") }
        let result = try binary(0)
        guard at == tokens.count else { throw ExpressionError(sentence: "The expression does not end where it should: '\(shown(tokens[at]))'.") }
        return result
    }

    private func shown(_ token: Token) -> String {
        switch token {
        case .number(let value): String(value)
        case .word(let text, _), .register(let text), .symbol(let text), .sign(let text): text
        }
    }

    /// Loosest first. A `:` binds looser than sums and tighter than comparisons.
    private static let levels: [[String: Expression.Operator]] = [
        ["||": .either], ["&&": .both], ["|": .or, "or": .or], ["^": .xor, "xor": .xor], ["&": .and, "and": .and], ["==": .equal, "!=": .notEqual],
        ["<": .less, "<=": .lessEqual, ">": .greater, ">=": .greaterEqual], [":": .add],
        ["<<": .shiftLeft, ">>": .shiftRight, "shl": .shiftLeft, "shr": .shiftRight],
        ["+": .add, "-": .subtract], ["*": .multiply, "/": .divide, "%": .modulo, "mod": .modulo],
    ]

    private mutating func binary(_ level: Int) throws(ExpressionError) -> Expression {
        depth += 1
        defer { depth -= 1 }
        guard depth < 12 * Expression.depthLimit else { throw ExpressionError(sentence: "The expression is nested too deep.") }
        guard level < ExpressionParser.levels.count else { return try unary() }
        var left = try binary(level + 1)
        var length = 0
        while at < tokens.count {
            let text: String
            switch tokens[at] {
            case .sign(let sign): text = sign
            case .word(let word, _): text = word.lowercased()
            default: return left
            }
            guard let op = ExpressionParser.levels[level][text] else { return left }
            // Left-associative chains are as deep as they are long.
            length += 1
            guard length < 4 * Expression.depthLimit else { throw ExpressionError(sentence: "The expression is too long.") }
            at += 1
            let right = try binary(level + 1)
            left = text == ":" ? .far(left, right) : .binary(op, left, right)
        }
        return left
    }

    private mutating func unary() throws(ExpressionError) -> Expression {
        depth += 1
        defer { depth -= 1 }
        guard depth < 12 * Expression.depthLimit else { throw ExpressionError(sentence: "The expression is nested too deep.") }
        guard at < tokens.count else { throw ExpressionError(sentence: "The expression ends too early.") }
        let token = tokens[at]
        at += 1
        switch token {
        case .number(let value): return .number(value)
        case .register(let name): return .register(name)
        case .symbol(let name): return .symbol(name)
        case .word(let text, let hex): return try word(text, hex)
        case .sign("-"): return .unary(.subtract, try unary())
        case .sign("+"): return try unary()
        case .sign("~"): return .unary(.invert, try unary())
        case .sign("*"): return .memory(try unary(), bytes: 0, space: .linear)
        case .sign("!"): return .unary(.not, try unary())
        case .sign("("):
            let inner = try binary(0)
            try expect(")")
            return inner
        case .sign("["):
            at -= 1
            return try memory(bytes: 0)
        case .sign(let sign): throw ExpressionError(sentence: "'\(sign)' is not expected there.")
        }
    }

    private mutating func word(_ text: String, _ hex: UInt64?) throws(ExpressionError) -> Expression {
        let lower = text.lowercased()
        if lower == "not" { return .unary(.invert, try unary()) }
        if let bytes = ["byte": 1, "word": 2, "dword": 4, "qword": 8][lower], at < tokens.count {
            if case .word(let next, _) = tokens[at], next.lowercased() == "ptr" { at += 1 }
            return try memory(bytes: bytes)
        }
        if isMemoryBehindColon { return try memory(bytes: 0, prefix: lower) }
        return .name(text, hex: hex)
    }

    /// `: [` follows.
    private var isMemoryBehindColon: Bool { at + 1 < tokens.count && tokens[at] == .sign(":") && tokens[at + 1] == .sign("[") }

    /// `[x]`, `ds:[x]`, `phys:[x]`.
    private mutating func memory(bytes: Int, prefix given: String? = nil) throws(ExpressionError) -> Expression {
        var prefix = given
        if prefix == nil, at < tokens.count, case .word(let name, _) = tokens[at] {
            prefix = name.lowercased()
            at += 1
        }
        var space = Expression.Space.linear
        if let prefix {
            try expect(":")
            space = prefix == "phys" ? .physical : prefix == "lin" ? .linear : .segment(prefix)
        }
        try expect("[")
        let address = try binary(0)
        try expect("]")
        return .memory(address, bytes: bytes, space: space)
    }

    private mutating func expect(_ sign: String) throws(ExpressionError) {
        guard at < tokens.count, tokens[at] == .sign(sign) else { throw ExpressionError(sentence: "'\(sign)' is missing.") }
        at += 1
    }
}
